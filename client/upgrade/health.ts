import { KhwError } from "../../proto/errors.ts";
import { type NodeEtcd, etcdProblems } from "../etcd/overview.ts";
import { problemsOf } from "../status/problems.ts";
import type { ClusterState } from "../status/state.ts";

/**
 * Returns the reasons why a cluster is not ready for an upgrade: everything that makes `status` report it as
 * unhealthy, except drift, and every problem of etcd. This includes certificates that expire within a week.
 */
export function healthFindings({ nodes, loadBalancer }: ClusterState, etcd: readonly NodeEtcd[]): KhwError[] {
  // The upgrade itself removes drift.
  const withoutDrift = nodes.map((node) =>
    node.status === undefined ? node : { ...node, status: { ...node.status, drift: undefined } },
  );
  const problems = problemsOf({ nodes: withoutDrift, loadBalancer }).filter(({ severity }) => severity === "error");
  return [
    ...problems.map(({ node, subject, message, hint }) => {
      const place = node === "" ? {} : { node };
      return new KhwError("PREFLIGHT_FAILED", message, { ...place, step: subject, hint: hint || undefined });
    }),
    ...etcdProblems(etcd).map((problem) => {
      return new KhwError("PREFLIGHT_FAILED", `etcd: ${problem}`, { hint: "run khw-client etcd status" });
    }),
  ];
}
