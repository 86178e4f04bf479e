import { fromDetail, KhwError, toKhwError } from "../../proto/errors.ts";
import type { ErrorDetail } from "../../proto/gen/khw/agent/v1/agent.ts";
import { clockFindings, type ClockReading, readClock } from "../cluster/clock-skew.ts";
import type { Member } from "../cluster/open.ts";
import type { NodeDigests } from "../lock/lock.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import { apiFindings, type ApiFindingsOptions } from "../release/api-findings.ts";
import { storedVersionFindings } from "../release/stored-versions.ts";
import { aggregationFindings } from "./aggregation-findings.ts";
import { type NodeRestart, readRestart, type RestartOrder, restartOrder } from "./restart-order.ts";
import { runningOperationFindings } from "./running-operations.ts";

/** The state of all nodes before a rollout. */
export interface Inspection extends RestartOrder {
  /** The obstacles on all nodes. If there are any, the rollout must not start. */
  readonly findings: readonly KhwError[];
  /** Findings that are not obstacles. */
  readonly warnings: readonly KhwError[];
  /** The programs' digests that agents reported because the desired states do not contain them. */
  readonly reported: readonly NodeDigests[];
}

export interface ClusterChecks extends Omit<ApiFindingsOptions, "signal"> {
  readonly work: readonly NodeWork[];
}

/** Runs all checks of the nodes, the Kubernetes API and etcd before a rollout. Changes nothing. */
export async function inspectCluster(
  members: readonly Member[],
  { work, ...asking }: ClusterChecks,
  signal: AbortSignal,
): Promise<Inspection> {
  const [inspection, api, stored] = await Promise.all([
    inspect(members, work, signal),
    apiFindings(members, { ...asking, signal }),
    storedVersionFindings(members, { ...asking, signal }),
  ]);
  // The plan may restart only etcd on a node, so the node's API server may not be ready. Only a ready API server can be
  // asked for backends.
  const { restarting, serving } = inspection;
  const asked = work.filter(({ node }) => restarting.has(node) && serving.has(node));
  const aggregation = await aggregationFindings(asked, { admin: asking.admin, signal });
  return {
    ...inspection,
    findings: [...api.obstacles, ...stored.obstacles, ...aggregation.obstacles, ...inspection.findings],
    warnings: [...inspection.warnings, ...api.warnings, ...stored.warnings, ...aggregation.warnings],
  };
}

/**
 * Returns the obstacles on all nodes, and the order of the restarts. Changes nothing. Does not inspect a busy node
 * further.
 */
export async function inspect(
  members: readonly Member[],
  work: readonly NodeWork[],
  signal: AbortSignal,
): Promise<Inspection> {
  const busy = runningOperationFindings(members, work);
  const free = work.filter(({ node }) => !busy.some((finding) => finding.node === node.address.name));
  const nodes = await Promise.all(free.map((item) => inspectNode(item, signal)));
  return {
    findings: [
      ...busy,
      ...uncertainFirstStarts(members, work),
      ...nodes.flatMap(({ findings }) => findings),
      ...clockFindings(nodes.flatMap(({ clocks }) => clocks)),
    ],
    warnings: nodes.flatMap(({ warnings }) => warnings),
    reported: nodes.flatMap(({ reported }) => reported ?? []),
    ...restartOrder(nodes.flatMap(({ restart }) => restart ?? [])),
  };
}

interface NodeInspection {
  readonly findings: readonly KhwError[];
  readonly warnings: readonly KhwError[];
  readonly clocks: readonly ClockReading[];
  readonly restart?: NodeRestart;
  readonly reported?: NodeDigests;
}

/** Inspects a node. If the node does not answer, returns the error as a finding. */
async function inspectNode(item: NodeWork, signal: AbortSignal): Promise<NodeInspection> {
  const { name } = item.node.address;
  const located = (detail: ErrorDetail): KhwError => fromDetail(detail).at({ node: name });
  const restarting = readRestart(item, { signal }).catch((thrown: unknown) => toKhwError(thrown).at({ node: name }));
  const preflight = readClock(name, () => item.node.preflight(item.desired, signal)).catch((thrown: unknown) =>
    toKhwError(thrown).at({ node: name }),
  );
  const [answered, restart] = await Promise.all([preflight, restarting]);
  signal.throwIfAborted();
  if (answered instanceof Error) return { findings: [answered], warnings: [], clocks: [] };
  const { answer, clock } = answered;
  const [findings, warnings] = [answer.findings.map(located), answer.warnings.map(located)];
  const reported = { node: item.node, programs: answer.programs };
  if (!(restart instanceof Error)) return { findings, warnings, clocks: [clock], restart, reported };
  // The preflight's findings about the machine are more useful than the error from the restart check.
  return { findings: findings.length > 0 ? findings : [restart], warnings, clocks: [clock] };
}

/**
 * Returns the nodes on which a first etcd member would start while another controller does not answer. That controller
 * may have the data of an existing cluster. If these nodes are recreated machines, they would start a second cluster.
 */
export function uncertainFirstStarts(members: readonly Member[], work: readonly NodeWork[]): KhwError[] {
  const away = members.filter(({ info }) => info === undefined).map(({ node }) => node.address.name);
  if (away.length === 0) return [];
  return work.flatMap(({ node, desired }) => {
    const begun = members.find((member) => member.node === node)?.info?.etcdBegun;
    if (desired.etcd === undefined || begun === true) return [];
    const names = away.join(", ");
    const what = `this node has no etcd member yet, and ${names} does not report whether a cluster exists`;
    return new KhwError("PREFLIGHT_FAILED", what, {
      node: node.address.name,
      hint: `repair ${names}, or replace it with a machine of the same name and address; then run the command again`,
    });
  });
}
