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
  /** Every obstacle on every node; if there are any, the rollout must not start. */
  readonly findings: readonly KhwError[];
  /** Findings that are not obstacles. */
  readonly warnings: readonly KhwError[];
  /** The digests that agents reported for programs without a digest in the desired states. */
  readonly reported: readonly NodeDigests[];
}

export interface ClusterChecks extends Omit<ApiFindingsOptions, "signal"> {
  readonly work: readonly NodeWork[];
}

/** Runs all checks of the nodes, the Kubernetes API and etcd before a rollout, in parallel; changes nothing. */
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
  // A node whose API server is not ready may restart only etcd. An API server that is not ready cannot be asked for
  // backends.
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
 * Returns every obstacle on every node, and the order of restarts; changes nothing. A busy node is not examined
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

/** A node that does not answer is reported as a finding. */
async function inspectNode(item: NodeWork, signal: AbortSignal): Promise<NodeInspection> {
  const { name } = item.node.address;
  const located = (detail: ErrorDetail): KhwError => fromDetail(detail).at({ node: name });
  const restarting = readRestart(item, signal).catch((thrown: unknown) => toKhwError(thrown).at({ node: name }));
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
  // The preflight's findings about the machine are more useful than the error of the restart check.
  return { findings: findings.length > 0 ? findings : [restart], warnings, clocks: [clock] };
}

/**
 * Returns the nodes on which a first etcd member would start while another controller does not answer. That controller
 * may hold the data of a cluster. If these nodes are recreated machines, they would start a second cluster.
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
