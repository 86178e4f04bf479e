import type { DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Os } from "../os/os.ts";
import { kmsDrift, kmsRemedy } from "../steps/kms.ts";

/** Finds a KMS plugin that is not running. The API server would not become ready without its plugin. */
export async function kmsFinding({ kms }: DesiredState, os: Os): Promise<KhwError | null> {
  const drift = kms === undefined ? null : await kmsDrift(kms, os);
  if (kms === undefined || drift === null) return null;
  return new KhwError("PREFLIGHT_FAILED", drift.summary, { hint: kmsRemedy(kms, drift) });
}
