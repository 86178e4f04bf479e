import { oneLine } from "../../proto/sanitize.ts";
import { type Component, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Paint } from "../terminal/colour.ts";
import { nodeProblems, type Problem } from "../status/problems.ts";
import type { ClusterState, LoadBalancerState, NodeState } from "../status/state.ts";
import { clock } from "../terminal/time.ts";

export interface FrameOptions {
  readonly rows: number;
  readonly now: number;
  readonly paint: Paint;
}

/** A node with its problems, computed once per frame. */
interface NodeRow {
  readonly state: NodeState;
  readonly problems: readonly Problem[];
  /**
   * The order of the rows: 0 if the node does not answer, 1 for an error, 2 for a warning, 3 if the node has not
   * answered yet, 4 if it is healthy.
   */
  readonly rank: number;
}

/**
 * Renders the cluster in a limited number of lines, with the worst nodes first. If there is room, all components are
 * shown. With less room, only unhealthy components are shown, then hints are left out, and finally the remaining nodes
 * are only counted.
 */
export function frame(cluster: ClusterState, { rows, now, paint }: FrameOptions): string[] {
  const sorted = cluster.nodes.map(toNodeRow).sort((one, other) => one.rank - other.rank);
  const head = [headline(sorted, cluster.loadBalancer, now), ""];
  const room = rows - head.length;
  const width = Math.max(4, ...cluster.nodes.map(({ node }) => node.length));
  const most = sorted.slice(0, Math.max(0, room));
  for (const detail of ["all", "hints", "problems"] as const) {
    const lines = most.flatMap((row) => describeRow(row, { detail, width, paint }));
    if (most.length === sorted.length && lines.length <= room) return [...head, ...lines];
  }
  return [...head, ...cutRows(sorted, room, (row) => describeRow(row, { detail: "problems", width, paint }))];
}

function toNodeRow(state: NodeState): NodeRow {
  const problems = nodeProblems(state);
  const rank =
    state.error !== undefined
      ? 0
      : state.status === undefined
        ? 3
        : problems.length === 0
          ? 4
          : errors(problems)
            ? 1
            : 2;
  return { state, problems, rank };
}

function errors(problems: readonly Problem[]): boolean {
  return problems.some(({ severity }) => severity === "error");
}

function headline(rows: readonly NodeRow[], loadBalancer: LoadBalancerState | undefined, now: number): string {
  const count = (...ranks: number[]): number => rows.filter(({ rank }) => ranks.includes(rank)).length;
  const parts = [
    `${rows.length} ${rows.length === 1 ? "node" : "nodes"}`,
    `${count(2, 4)} healthy`,
    ...(count(1) > 0 ? [`${count(1)} unhealthy`] : []),
    ...(count(0) > 0 ? [`${count(0)} not answering`] : []),
    ...(count(3) > 0 ? [`${count(3)} without an answer yet`] : []),
    ...(loadBalancer === undefined ? [] : [describeLoadBalancer(loadBalancer)]),
  ];
  return `${clock(now)} UTC   ${parts.join(", ")}`;
}

function describeLoadBalancer({ backends, error }: LoadBalancerState): string {
  if (error !== undefined) return `load balancer: ${oneLine(error.message)}`;
  const healthy = backends.filter(({ state }) => state === "HEALTHY").length;
  return `load balancer: ${healthy} of ${backends.length} HEALTHY`;
}

interface DescribeOptions {
  readonly detail: "all" | "hints" | "problems";
  readonly width: number;
  readonly paint: Paint;
}

function describeRow({ state, problems, rank }: NodeRow, { detail, width, paint }: DescribeOptions): string[] {
  const name = state.node.padEnd(width);
  const summary = summarise(state);
  const line = rank === 4 ? `${paint("green", "✔")} ${name}  ${summary}` : `${mark(rank, paint)} ${name}  ${summary}`;
  const told = problems.flatMap(({ subject, severity, message, hint }) => [
    `    ${paint(severity === "error" ? "red" : "yellow", `${subject}: ${oneLine(message)}`)}`,
    ...(hint === "" || detail === "problems" ? [] : [`      hint: ${oneLine(hint)}`]),
  ]);
  return [line, ...told, ...(detail === "all" ? (state.status?.components ?? []).map(describeComponent) : [])];
}

function mark(rank: number, paint: Paint): string {
  return rank === 3 ? "…" : rank === 2 ? paint("yellow", "!") : paint("red", "✖");
}

function summarise({ status, error }: NodeState): string {
  if (error !== undefined) return "does not answer";
  if (status === undefined) return "";
  const { components, machine, maintenance } = status;
  const healthy = components.filter(({ health }) => health === Health.HEALTH_HEALTHY).length;
  const load = machine === undefined ? [] : [`load ${(machine.load[0] ?? 0).toFixed(2)}`];
  return [`${healthy} of ${components.length} healthy`, ...load, ...(maintenance?.drained ? ["drained"] : [])].join(
    ", ",
  );
}

function describeComponent({
  name,
  activeState,
  version,
  pid,
  restarts,
  supervisedRestarts,
  health,
}: Component): string {
  const again = restarts + supervisedRestarts;
  const parts = [
    name.padEnd(24),
    activeState.padEnd(12),
    (version || "-").padEnd(10),
    (pid === 0 ? "-" : String(pid)).padEnd(8),
    (health === Health.HEALTH_HEALTHY ? "healthy" : "unhealthy").padEnd(12),
    again === 0 ? "" : `restarted ${again} ${again === 1 ? "time" : "times"}`,
  ];
  return `    ${parts.join(" ")}`.trimEnd();
}

/** Returns the rows that fit, and a last line with the number of nodes that do not fit. */
function cutRows(rows: readonly NodeRow[], room: number, describe: (row: NodeRow) => readonly string[]): string[] {
  const lines: string[] = [];
  for (const [index, row] of rows.entries()) {
    const more = describe(row);
    if (lines.length + more.length <= room - 1) {
      lines.push(...more);
      continue;
    }
    const left = rows.slice(index);
    const well = left.filter(({ rank }) => rank === 4).length;
    return [...lines, `… and ${left.length} more ${left.length === 1 ? "node" : "nodes"}, ${well} of them healthy`];
  }
  return lines;
}
