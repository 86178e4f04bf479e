import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { NewFiles } from "../pki/folder.ts";
import { openPublicApi } from "../verify/verification.ts";
import type { PublicApi } from "./manifests.ts";
import { describeObject, type Manifest } from "./object.ts";
import { type Review, reviewManifests } from "./review.ts";

/** A difference, as `plan` prints it. */
export interface ManifestDifference {
  readonly track: "cluster";
  readonly step: "manifests";
  readonly title: string;
  readonly drift?: string;
  readonly remedy?: string;
  readonly error?: KhwError;
}

const base = { track: "cluster", step: "manifests", title: "the cluster has the objects of the folder" } as const;

/** Returns the changes that bootstrap would make to the objects of the folder. Changes nothing. */
export async function planManifests(
  manifests: readonly Manifest[] | undefined,
  { made, ...target }: PublicApi & { readonly made: NewFiles },
  signal: AbortSignal,
): Promise<ManifestDifference[]> {
  if (manifests === undefined) return [];
  if (Object.keys(made).length > 0) return [uncompared(manifests, "the cluster has no credentials yet")];
  try {
    const options = { signal, forceConflicts: false, allowed: new Set<string>() };
    return describeReview(await reviewManifests(openPublicApi(target), manifests, options));
  } catch (thrown) {
    signal.throwIfAborted();
    const error = toKhwError(thrown);
    return [error.code === "UNREACHABLE" ? uncompared(manifests, error.message) : { ...base, error }];
  }
}

function uncompared({ length }: readonly Manifest[], reason: string): ManifestDifference {
  return { ...base, drift: `${length} objects would be applied; they were not compared, because ${reason}` };
}

/** Returns a row for each object that would change or that left the folder, and for each error. */
export function describeReview({ objects, leaving, errors }: Review): ManifestDifference[] {
  return [
    ...objects
      .filter(({ action, error }) => action !== "none" && error === undefined)
      .map(({ manifest, action }) => ({ ...base, drift: `would ${action} ${describeObject(manifest)}` })),
    ...leaving.map(({ name, action, reason = "", remedy }) => {
      const object = describeObject(name);
      if (action === "delete") return { ...base, drift: `would delete ${object}` };
      const drift = `${object} left the folder, and stays: ${reason}`;
      return action === "keep" ? { ...base, drift, remedy: remedy ?? "" } : { ...base, drift };
    }),
    ...errors.map((error) => ({ ...base, error })),
  ];
}
