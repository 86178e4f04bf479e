import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { waitFor } from "../../proto/wait-for.ts";
import { note } from "../progress/progress.ts";
import { findContents } from "./contents.ts";
import { isAllowed, keptRemedy } from "./allow-prune.ts";
import type { Leaving } from "./leaving.ts";
import { describeObject, type ObjectName } from "./object.ts";
import { contains, rankOf } from "./prune.ts";
import { refusalOf } from "./refusal.ts";
import { pathOf } from "./resources.ts";
import type { ApplyOptions, Review } from "./review.ts";

/** The time to wait for the garbage collector, which deletes a deleted owner's objects within seconds. */
const emptyMillis = 30_000;
const intervalMillis = 1000;
const none: ReadonlySet<string> = new Set();

/** The objects that are kept in the record of applied objects. */
export interface Kept {
  readonly names: readonly ObjectName[];
  readonly errors: readonly KhwError[];
}

/** Deletes the objects that are no longer in the folder: first ordinary objects, then definitions, then namespaces. */
export async function deleteLeaving(
  api: KubernetesApi,
  { leaving, discover }: Pick<Review, "leaving" | "discover">,
  options: ApplyOptions,
): Promise<Kept> {
  const { progress, signal, allowed } = options;
  const names: ObjectName[] = [];
  const errors: KhwError[] = [];
  const deleted: Leaving[] = [];
  const keep = ({ name, reason = "", remedy = "" }: Pick<Leaving, "name" | "reason" | "remedy">): void => {
    names.push(name);
    note(progress, `warning: manifests: ${describeObject(name)} left the folder, and stays: ${reason}; ${remedy}`);
  };
  for (const one of leaving.filter(({ action }) => action === "keep")) keep(one);
  for (const one of leaving.filter(({ action }) => action === "delete").toSorted(byRank)) {
    try {
      const contents = isAllowed(one, allowed) ? undefined : await untilEmpty(api, one, { discover, signal });
      if (contents === undefined) {
        await deleteObject(api, one, signal);
        note(progress, `manifests: ${describeObject(one.name)} deleted`);
        deleted.push(one);
      } else keep({ name: one.name, reason: contents, remedy: keptRemedy(one) });
    } catch (thrown) {
      signal.throwIfAborted();
      names.push(one.name);
      errors.push(toKhwError(thrown));
    }
  }
  for (const { name, reason = "" } of leaving.filter(({ action }) => action === "forget")) {
    const outer = deleted.find((one) => contains(one, name));
    const result = outer === undefined ? `is not deleted: ${reason}` : `was deleted with ${describeObject(outer.name)}`;
    note(progress, `manifests: ${describeObject(name)} left the folder, and ${result}`);
  }
  return { names, errors };
}

function byRank({ name: one }: Leaving, { name: other }: Leaving): number {
  return rankOf(one) - rankOf(other);
}

/**
 * Waits until the object is empty, then returns undefined. At the deadline, returns the contents that the object still
 * has.
 */
async function untilEmpty(
  api: KubernetesApi,
  one: Leaving,
  { discover, signal }: Pick<Review, "discover"> & { readonly signal: AbortSignal },
): Promise<string | undefined> {
  return waitFor<string | undefined>({
    what: "the object has contents",
    check: async () => {
      const contents = await findContents(api, one, { discover, except: none, signal });
      return contents === undefined ? { reached: undefined } : { seen: contents };
    },
    deadlineMillis: emptyMillis,
    intervalMillis,
    signal,
    late: ({ seen }) => new KhwError("TIMEOUT", seen),
  }).catch((thrown: unknown) => {
    const error = toKhwError(thrown);
    if (error.code !== "TIMEOUT") throw thrown;
    return error.message;
  });
}

/** Deletes the object that was reviewed, but never a newer object with the same name. */
async function deleteObject(api: KubernetesApi, { name, resource, uid }: Leaving, signal: AbortSignal): Promise<void> {
  const body = {
    apiVersion: "v1",
    kind: "DeleteOptions",
    preconditions: { uid },
    propagationPolicy: "Background",
  };
  const answer = await api("DELETE", pathOf(resource, name), { signal, body });
  if (![200, 202, 404].includes(answer.status)) throw refusalOf(name, answer);
}
