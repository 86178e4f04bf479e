import { managementCaAttribute } from "../../proto/enrolment.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Compute } from "../gce/compute.ts";
import type { Reference } from "../gce/references.ts";
import { refusedBecause } from "../gce/refusal.ts";
import type { Instance } from "../gce/resources.ts";

/**
 * The maximum number of attempts. An attempt fails if another user changes the metadata between this client's read and
 * write.
 */
const tries = 5;

export interface Published {
  readonly instance: Instance;
  /** False if the metadata already contained the certificate. */
  readonly changed: boolean;
}

/**
 * Puts the management CA's certificate into the instance's metadata. Keeps all other items.
 * @throws KhwError COMPUTE_FAILED
 */
export async function publishCa(
  compute: Pick<Compute, "get" | "setMetadata">,
  reference: Reference<"instances">,
  { ca, signal }: { readonly ca: string; readonly signal: AbortSignal },
): Promise<Published> {
  for (let left = tries; ; left--) {
    const instance = await compute.get(reference, signal);
    if (instance === undefined) throw new KhwError("COMPUTE_FAILED", `the instance ${reference.path} does not exist`);
    const { fingerprint, items } = instance.metadata;
    const present = items.find(({ key }) => key === managementCaAttribute);
    if (present?.value.trim() === ca.trim()) return { instance, changed: false };
    const others = items.filter((item) => item !== present);
    const metadata = { fingerprint, items: [...others, { key: managementCaAttribute, value: ca }] };
    try {
      await compute.setMetadata(reference, metadata, signal);
      return { instance, changed: true };
    } catch (error) {
      // Reads the metadata again first, so that another user's change is never overwritten.
      if (!refusedBecause(error, "changed") || left === 1) throw error;
    }
  }
}
