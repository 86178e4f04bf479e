import { KhwError } from "../../proto/errors.ts";
import { type NodeEtcd, etcdProblems } from "../etcd/overview.ts";
import { isLeft } from "../../proto/drain.ts";
import { problemsOf } from "../status/problems.ts";
import type { ClusterState, NodeState } from "../status/state.ts";

/**
 * Returns the reasons why a cluster is not ready for an upgrade: every etcd problem, and everything except drift that
 * makes `status` report the cluster as unhealthy. This includes certificates that expire within a week. If a rolling
 * update left a node drained, that node's drain and components are excluded, because the upgrade repairs and undrains
 * the node.
 */
export function healthFindings({ nodes, loadBalancer }: ClusterState, etcd: readonly NodeEtcd[]): KhwError[] {
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
  return [
    ...problems.map(({ node, subject, message, hint }) => {
      const place = node === "" ? {} : { node };
      return new KhwError("PREFLIGHT_FAILED", message, { ...place, step: subject, hint: hint || undefined });
    }),
    ...etcdFindings(etcd),
  ];
}

/** Returns the etcd problems that prevent an upgrade. */
export function etcdFindings(etcd: readonly NodeEtcd[]): KhwError[] {
  return etcdProblems(etcd).map(
    (problem) => new KhwError("PREFLIGHT_FAILED", `etcd: ${problem}`, { hint: "run khw-client etcd status" }),
  );
}

/** Whether an unfinished rolling update explains the problem on this node. */
function isLeftOver(subject: string, node: NodeState | undefined): boolean {
  const { maintenance, components = [] } = node?.status ?? {};
  return isLeft(maintenance) && (subject === "maintenance" || components.some(({ name }) => name === subject));
}
