import compare from "semver/functions/compare.js";
import minor from "semver/functions/minor.js";
import { KhwError } from "../../proto/errors.ts";
import type { InspectApiResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import type { Member } from "../cluster/open.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import { kubeletObstacles } from "./kubelets.ts";
import { changesRelease, distinct, isWayBack, type NodeRelease } from "./path.ts";
import { removedApiFindings, type ReleaseFindings } from "./removed-apis.ts";
import type { RunningReleases } from "./releases.ts";

export interface ApiFindingsOptions {
  readonly admin: AdminCredentials;
  readonly running: RunningReleases;
  /** The new Kubernetes release. */
  readonly wanted: string;
  readonly allowRemovedApis: boolean;
  /**
   * See ReleaseOptions. If true, only the kubelets are checked, because the other answers concern data that the restore
   * replaces.
   */
  readonly restoresData?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Queries every API server for kubelets, requested deprecated APIs and dead backends, and evaluates the answers. Does
 * nothing if the Kubernetes release does not change. Each agent queries its own API server, so that no API server is
 * missed.
 */
export async function apiFindings(members: readonly Member[], options: ApiFindingsOptions): Promise<ReleaseFindings> {
  const { admin, running, wanted, restoresData = false, signal } = options;
  if (!changesRelease(running.kubernetes, wanted)) return { obstacles: [], warnings: [] };
  const releases = distinct(running.kubernetes);
  const withApi = members.filter(({ node, error }) => error === undefined && hasRelease(node.address.name, running));
  const { ca, certificate, key } = admin;
  const answers = await forEachNode(withApi, maxConcurrentNodes, (node) =>
    node.inspectApi({ ca, certificate, key }, signal),
  );
  signal.throwIfAborted();
  const answered = answers.flatMap(({ value }) => value ?? []);
  const errors = answers.flatMap(({ error }) => error ?? []);
  // If a node already runs this release, the change completes or reverts an interrupted update. Such a change, the way
  // back or a restore may be necessary to repair API servers that do not answer, or that answer with errors.
  const isRepair = restoresData || releases.includes(wanted) || isWayBack(running.kubernetes, wanted);
  const silent = errors.filter((error) => isRepair || isSilent(error));
  const judged = judgeApis(answered, { ...options, running: running.kubernetes });
  // A patch may be the repair, too.
  const unknown = answered.length === 0 && !isRepair && !isPatch(releases, wanted) ? silent : [];
  return {
    obstacles: [...errors.filter((error) => !silent.includes(error)), ...unknown.map(notAsked), ...judged.obstacles],
    warnings: [...(unknown.length > 0 ? [] : silent.map(notAsked)), ...judged.warnings],
  };
}

interface JudgeOptions extends Pick<ApiFindingsOptions, "wanted" | "allowRemovedApis" | "restoresData"> {
  readonly running: readonly NodeRelease[];
}

/** Evaluates the combined answers of all API servers. */
export function judgeApis(
  answers: readonly InspectApiResponse[],
  { wanted, running, allowRemovedApis, restoresData = false }: JudgeOptions,
): ReleaseFindings {
  const all = [...distinct(running), wanted].toSorted(compare);
  const span = { oldest: all[0] ?? wanted, newest: all.at(-1) ?? wanted };
  // Every API server returns all Node objects, so duplicates are removed.
  const kubelets = new Map(answers.flatMap((answer) => answer.kubelets.map((kubelet) => [kubelet.node, kubelet])));
  const kubeletFindings = kubeletObstacles([...kubelets.values()], span);
  if (restoresData) return { obstacles: kubeletFindings, warnings: [] };
  const requested = answers.flatMap(({ deprecatedApis }) => deprecatedApis);
  const removed = removedApiFindings(requested, { wanted, allowed: allowRemovedApis });
  const dead = new Map(
    answers.flatMap(({ deadBackends }) => deadBackends.map((backend) => [`${backend.kind} ${backend.name}`, backend])),
  );
  const backends = [...dead].map(([name, { reason }]) => {
    const hint =
      "a dead backend can block a restarted API server: make the backend ready, or delete the webhook or APIService";
    return new KhwError("PREFLIGHT_FAILED", `${name} has no working backend: ${reason}`, { hint });
  });
  // The newer release may be the reason why the backend does not work.
  const isBack = isWayBack(running, wanted);
  return {
    obstacles: [...kubeletFindings, ...removed.obstacles, ...(isBack ? [] : backends)],
    warnings: [...removed.warnings, ...(isBack ? backends : [])],
  };
}

/** Whether the change stays within a minor release. Patches neither remove APIs nor change the rules for kubelets. */
function isPatch(releases: readonly string[], wanted: string): boolean {
  return releases.every((release) => minor(release) === minor(wanted));
}

function hasRelease(node: string, { kubernetes }: RunningReleases): boolean {
  return kubernetes.some((release) => release.node === node);
}

/** Whether the error means that the API server does not answer, or that the agent is older than this client. */
function isSilent(error: KhwError): boolean {
  return error.code === "UNREACHABLE" || isUnknownCall(error);
}

function notAsked(error: KhwError): KhwError {
  const { node, message } = error;
  const text = `its API server was not queried for kubelets or removed APIs: ${message}`;
  const hint = isUnknownCall(error) ? error.hint : "repair the API server first: khw-client status shows its state";
  return new KhwError("PREFLIGHT_FAILED", text, { node, hint });
}
