import { managementCaAttribute } from "../../proto/enrolment.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Compute } from "../gce/compute.ts";
import type { Reference } from "../gce/references.ts";
import { refusedBecause } from "../gce/refusal.ts";
import type { Instance } from "../gce/resources.ts";

/** How often somebody else may change the instance's metadata between our reading and our writing. */
const tries = 5;

export interface Published {
  readonly instance: Instance;
  /** False when the metadata held the certificate already. */
  readonly changed: boolean;
}

/**
 * The instance's metadata hold the management CA's certificate; every other item of theirs stays as it is.
 * @throws KhwError COMPUTE_FAILED
 */
export async function publishCa(
  compute: Pick<Compute, "get" | "setMetadata">,
  reference: Reference<"instances">,
  { ca, signal }: { readonly ca: string; readonly signal: AbortSignal },
): Promise<Published> {
  for (let left = tries; ; left--) {
    const instance = await compute.get(reference, signal);
    if (instance === undefined) throw new KhwError("COMPUTE_FAILED", `there is no instance ${reference.path}`);
    const { fingerprint, items } = instance.metadata;
    const present = items.find(({ key }) => key === managementCaAttribute);
    if (present?.value.trim() === ca.trim()) return { instance, changed: false };
    const others = items.filter((item) => item !== present);
    const metadata = { fingerprint, items: [...others, { key: managementCaAttribute, value: ca }] };
    try {
      await compute.setMetadata(reference, metadata, signal);
      return { instance, changed: true };
    } catch (error) {
      // Somebody else's change is read anew, and never overwritten.
      if (!refusedBecause(error, "changed") || left === 1) throw error;
    }
  }
}
