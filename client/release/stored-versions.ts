import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { StoredVersion } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { firstAnswer } from "../cluster/first-answer.ts";
import type { Member } from "../cluster/open.ts";
import type { ApiFindingsOptions } from "./api-findings.ts";
import { droppedBetween, type DroppedRemedy, type DroppedVersion } from "./dropped-versions.ts";
import { distinct } from "./path.ts";
import type { ReleaseFindings } from "./removed-apis.ts";

const none: ReleaseFindings = { obstacles: [], warnings: [] };

/**
 * Counts the objects in etcd that the new release cannot read, and evaluates the counts. Reads etcd only if the new
 * release drops versions. All agents read the same etcd cluster, so the first answer is enough.
 */
export async function storedVersionFindings(
  members: readonly Member[],
  { running, wanted, allowRemovedApis, restoresData = false, signal }: Omit<ApiFindingsOptions, "admin">,
): Promise<ReleaseFindings> {
  const releases = distinct(running.kubernetes);
  const [oldest] = releases;
  // A restore replaces all stored objects, so they are not counted.
  if (oldest === undefined || restoresData) return none;
  const dropped = droppedBetween(oldest, wanted);
  const resources = [...new Set(dropped.flatMap(({ kinds }) => kinds.map(({ resource }) => resource)))];
  const nodes = members.filter(({ error }) => error === undefined).map(({ node }) => node);
  if (resources.length === 0 || nodes.length === 0) return none;
  try {
    const stored = await firstAnswer(nodes, (node) => node.storedVersions(resources, signal), signal);
    return judgeStoredVersions(stored, { dropped, wanted, allowed: allowRemovedApis });
  } catch (thrown) {
    signal.throwIfAborted();
    const error = toKhwError(thrown);
    const text = `the stored objects were not counted by version: ${error.message}`;
    const unread = new KhwError("PREFLIGHT_FAILED", text, { node: error.node, hint: error.hint });
    // Completing an interrupted update may be necessary to repair etcd. An older agent cannot count the objects.
    const mayContinue = releases.includes(wanted) || isUnknownCall(error);
    return mayContinue ? { obstacles: [], warnings: [unread] } : { obstacles: [unread], warnings: [] };
  }
}

export interface JudgeStoredOptions {
  readonly dropped: readonly DroppedVersion[];
  /** The new Kubernetes release. */
  readonly wanted: string;
  /** Whether the administrator accepts that the new release cannot read these objects. */
  readonly allowed: boolean;
}

/** Evaluates the counts of stored objects. Warns about values whose version cannot be determined. */
export function judgeStoredVersions(
  stored: readonly StoredVersion[],
  { dropped, wanted, allowed }: JudgeStoredOptions,
): ReleaseFindings {
  const found = dropped.flatMap((row) =>
    row.kinds.flatMap(({ kind, resource }) =>
      stored
        .filter((one) => one.resource === resource && one.kind === kind)
        .filter(({ apiVersion }) => apiVersion === `${row.group}/${row.version}`)
        .map((one) => ({ row, one })),
    ),
  );
  const errorOf = ({ row, one }: (typeof found)[number]): KhwError => {
    const { group, remedy, source } = row;
    const hint = `${hints[remedy](`${one.resource}.${group}`)} (${source})`;
    return new KhwError("RELEASE_REFUSED", describe(one, { remedy, wanted }), { hint });
  };
  const isObstacle = ({ row }: (typeof found)[number]): boolean => row.remedy !== "delete" && !allowed;
  return {
    obstacles: found.filter(isObstacle).map(errorOf),
    warnings: [
      ...found.filter((one) => !isObstacle(one)).map(errorOf),
      ...stored.filter(({ apiVersion }) => apiVersion === "").map((one) => unreadable(one, wanted)),
    ],
  };
}

const continues = "--allow-removed-apis continues despite this";

/**
 * The hint for each remedy. A hint contains the resource's name as kubectl accepts it, for example "cronjobs.batch".
 */
const hints: Readonly<Record<DroppedRemedy, (name: string) => string>> = {
  rewrite: (name) =>
    "write the objects again, which stores them in a current version: " +
    `kubectl get ${name} --all-namespaces -o yaml | kubectl replace -f -; ${continues}`,
  recreate: (name) =>
    `save the objects (kubectl get ${name} --all-namespaces -o yaml), delete them before the update, and create them ` +
    `again afterwards in the new version; ${continues}`,
  delete: (name) => `delete the objects before the update if you no longer need them: kubectl delete ${name} NAME`,
};

interface DescribeOptions {
  readonly remedy: DroppedRemedy;
  readonly wanted: string;
}

function describe(stored: StoredVersion, { remedy, wanted }: DescribeOptions): string {
  const { apiVersion, kind, count } = stored;
  const consequence =
    remedy === "delete"
      ? `Kubernetes ${wanted} does not have this resource: the objects stay in etcd but have no effect`
      : `Kubernetes ${wanted} cannot read this version, so every request to list the resource fails`;
  return `${apiVersion} ${kind} is the stored version of ${counted(count)} (${examplesOf(stored)}), and ${consequence}`;
}

function unreadable(stored: StoredVersion, wanted: string): KhwError {
  const { resource, encrypted, count } = stored;
  const [why, hint] = encrypted
    ? ["because the values are encrypted", `write these objects again before the update if an old release stored them`]
    : ["because the values are damaged, or in a form that khw does not know", `look at them with etcdctl`];
  const text =
    `the stored version of ${counted(count)} in ${resource} (${examplesOf(stored)}) cannot be determined, ${why}; ` +
    `Kubernetes ${wanted} no longer reads some versions of this resource`;
  return new KhwError("PREFLIGHT_FAILED", text, { hint });
}

function counted(count: number): string {
  return count === 1 ? "1 object" : `${count} objects`;
}

function examplesOf({ examples, count }: StoredVersion): string {
  const more = count - examples.length;
  return [...examples, ...(more > 0 ? [`${more} more`] : [])].join(", ");
}
