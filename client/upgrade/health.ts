import { components } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { isManaged } from "../config/desired.ts";
import { type NodeEtcd, etcdProblems, readEtcd } from "../etcd/overview.ts";
import { isLeft } from "../../proto/drain.ts";
import { type Problem, problemsOf } from "../status/problems.ts";
import { readCluster } from "../status/read.ts";
import type { ClusterState, NodeState } from "../status/state.ts";

/** Reads all nodes, the load balancer and etcd, and returns the health findings. */
export async function readHealth(
  { config, members, cloud }: Pick<OpenCluster, "config" | "members" | "cloud">,
  { isBack, signal }: { readonly isBack: boolean; readonly signal: AbortSignal },
): Promise<HealthFindings> {
  const [state, etcd] = await Promise.all([
    readCluster(members, cloud, signal),
    isManaged(config) ? readEtcd(members, signal) : [],
  ]);
  signal.throwIfAborted();
  return healthFindings(state, etcd, isBack);
}

export interface HealthFindings {
  /** The reasons why the upgrade must not begin. */
  readonly findings: readonly KhwError[];
  readonly warnings: readonly KhwError[];
}

/**
 * Returns the reasons why a cluster is not ready for an upgrade: every etcd problem, and everything except drift that
 * makes `status` report the cluster as unhealthy. This includes certificates that expire within a week. If a rolling
 * update left a node drained, that node's drain and components are excluded, because the upgrade repairs and undrains
 * the node.
 *
 * A Kubernetes component that is unhealthy on every node causes only a warning, because the other release may be the
 * remedy. On the way back, the same applies to every unhealthy component and backend.
 */
export function healthFindings(
  { nodes, loadBalancer }: ClusterState,
  etcd: readonly NodeEtcd[],
  isBack: boolean,
): HealthFindings {
  // The upgrade itself removes drift.
  const withoutDrift = nodes.map((node) =>
    node.status === undefined ? node : { ...node, status: { ...node.status, drift: undefined } },
  );
  const problems = problemsOf({ nodes: withoutDrift, loadBalancer }).filter(
    ({ severity, node, subject }) =>
      severity === "error" &&
      !isLeftOver(
        subject,
        nodes.find((one) => one.node === node),
      ),
  );
  const isCurable = isBack
    ? ({ subject }: Problem): boolean => curable.has(subject)
    : commonProblem(problems, nodes.filter(({ status }) => !isLeft(status?.maintenance)).length);
  return {
    findings: [...problems.filter((problem) => !isCurable(problem)).map(toFinding), ...etcdFindings(etcd)],
    warnings: problems.filter(isCurable).map(toFinding),
  };
}

function toFinding({ node, subject, message, hint }: Problem): KhwError {
  const place = node === "" ? {} : { node };
  return new KhwError("PREFLIGHT_FAILED", message, { ...place, step: subject, hint: hint || undefined });
}

/** The parts that another release may repair. nginx asks the API server. */
const curable: ReadonlySet<string> = new Set([...components, "nginx", "load balancer"]);

/**
 * Returns a function that reports whether the problem's component is unhealthy on every node. If no API server is
 * healthy, nginx and the backends of the load balancer cannot be healthy either.
 */
function commonProblem(problems: readonly Problem[], count: number): (problem: Problem) => boolean {
  const common = new Set(
    components.filter((name) => problems.filter(({ subject }) => subject === name).length === count),
  );
  return ({ subject }) =>
    components.some((name) => name === subject && common.has(name)) ||
    (curable.has(subject) && !components.some((name) => name === subject) && common.has("kube-apiserver"));
}

/** Returns the etcd problems that prevent an upgrade. */
export function etcdFindings(etcd: readonly NodeEtcd[]): KhwError[] {
  return etcdProblems(etcd).map(
    (problem) => new KhwError("PREFLIGHT_FAILED", `etcd: ${problem}`, { hint: "run khw-client etcd status" }),
  );
}

/** Whether an unfinished rolling update explains the problem on this node. */
function isLeftOver(subject: string, node: NodeState | undefined): boolean {
  const { maintenance, components: known = [] } = node?.status ?? {};
  return isLeft(maintenance) && (subject === "maintenance" || known.some(({ name }) => name === subject));
}
