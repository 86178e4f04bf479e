import { oneLine } from "../../proto/sanitize.ts";
import { type Component, type GetStatusResponse, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Paint } from "../terminal/colour.ts";
import { truncate } from "../terminal/cut.ts";
import { textTable } from "../terminal/table.ts";
import { instant } from "../terminal/time.ts";
import { isWell, type Problem, problemsOf } from "./problems.ts";
import type { ClusterState, LoadBalancerState, NodeState } from "./state.ts";
import { describeRotation } from "../rotations/under-way.ts";
import { describeUpgrade, upgradeProgress } from "./upgrade.ts";
import { operationText } from "./words.ts";
import { utcDay } from "../../proto/time.ts";

export interface TablesOptions {
  /** Whether to show every column, regardless of the terminal's width. */
  readonly wide: boolean;
  readonly paint: Paint;
}

/** Returns the tables of nodes, components and backends, then the problems with their remedies. */
export async function statusTables(cluster: ClusterState, { wide, paint }: TablesOptions): Promise<string> {
  const { nodes, loadBalancer, rotations = [] } = cluster;
  const upgrade = upgradeProgress(nodes);
  const parts = [
    rotations.map(describeRotation).join("\n"),
    upgrade === undefined ? "" : describeUpgrade(upgrade),
    await textTable(
      [...machineHead, ...(wide ? wideMachineHead : [])],
      nodes.map((node) => machineRow(node, wide)),
    ),
    await textTable(
      wide ? wideComponentHead : componentHead,
      nodes.flatMap(({ node, status }) =>
        (status?.components ?? []).map((component) => componentRow(node, component, { wide, paint })),
      ),
    ),
    ...(loadBalancer === undefined || loadBalancer.error !== undefined ? [] : [await backendTable(loadBalancer, wide)]),
    problemText(problemsOf(cluster), paint) || (isWell(cluster) ? "All is well." : ""),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

/** Returns a line for each problem, with the remedy below it. */
export function problemText(problems: readonly Problem[], paint: Paint): string {
  return problems
    .flatMap(({ node, subject, severity, message, hint }) => {
      const text = `${[node, subject].filter((part) => part !== "").join(": ")}: ${oneLine(message)}`;
      const mark = severity === "error" ? paint("red", "✖") : paint("yellow", "!");
      return [`${mark} ${text}`, ...(hint === "" ? [] : [`    hint: ${oneLine(hint)}`])];
    })
    .join("\n");
}

const machineHead = ["NODE", "ADDRESS", "ZONE", "AGENT", "LOAD", "MEMORY", "DISK", "LAST OPERATION"];
const wideMachineHead = ["OPERATING SYSTEM", "KERNEL", "CPUS", "UP", "DRIFT CHECKED", "CERTIFICATES UNTIL"];

function machineRow({ node, status, error }: NodeState, wide: boolean): string[] {
  if (error !== undefined || status?.identity === undefined) return [node, "does not answer"];
  const { identity, machine, agentVersion, operation } = status;
  const row = [
    node,
    identity.internalIp,
    identity.zone || "-",
    agentVersion,
    (machine?.load[0] ?? 0).toFixed(2),
    machine === undefined ? "-" : usage(machine.memoryTotal, machine.memoryAvailable),
    machine === undefined ? "-" : usage(machine.diskTotal, machine.diskAvailable),
    operation === undefined ? "none" : operationText(operation),
  ];
  return wide ? [...row, ...wideMachine(status)] : row;
}

function wideMachine({ machine, drift, certificates }: GetStatusResponse): string[] {
  const expiries = certificates.map(({ expiresUnixMillis }) => expiresUnixMillis).filter((expiry) => expiry > 0);
  return [
    machine?.operatingSystem ?? "-",
    machine?.kernel ?? "-",
    String(machine?.cpus ?? "-"),
    machine === undefined ? "-" : `${(machine.uptimeSeconds / 86_400).toFixed(1)} d`,
    instant(drift?.checkedUnixMillis ?? 0),
    expiries.length === 0 ? "-" : utcDay(new Date(Math.min(...expiries))),
  ];
}

function usage(total: number, available: number): string {
  return `${gib(total - available)} of ${gib(total)} GiB`;
}

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(1);
}

const componentHead = ["NODE", "COMPONENT", "STATE", "VERSION", "RESTARTS", "HEALTH"];
const wideComponentHead = ["NODE", "COMPONENT", "STATE", "VERSION", "PID", "SINCE", "RESTARTS", "BY AGENT", "HEALTH"];

/**
 * The length to which reasons are truncated, so that a row fits within 100 columns; the full text is below the table.
 */
const plainReason = 40;

function componentRow(node: string, component: Component, { wide, paint }: TablesOptions): string[] {
  const { name, activeState, enabled, pid, sinceUnixMillis, restarts, supervisedRestarts } = component;
  const state = `${activeState}${enabled ? "" : ", not enabled"}`;
  const health = componentHealth(component, wide ? 200 : plainReason, paint);
  if (!wide) return [node, name, state, versionText(component), String(restarts + supervisedRestarts), health];
  return [
    node,
    name,
    state,
    versionText(component),
    pid === 0 ? "-" : String(pid),
    instant(sinceUnixMillis),
    String(restarts),
    String(supervisedRestarts),
    health,
  ];
}

/** Returns the installed version, and the release that the program emulates. */
function versionText({ version, emulatedVersion }: Component): string {
  if (version === "") return "-";
  return emulatedVersion === "" ? version : `${version} as ${emulatedVersion}`;
}

/** Returns the component's health: healthy, or the reason truncated to the given length. */
export function componentHealth({ health, reason, diagnosis }: Component, length: number, paint: Paint): string {
  if (health === Health.HEALTH_HEALTHY) return "healthy";
  return paint("red", truncate(diagnosis?.message || reason || "unhealthy", length));
}

function backendTable({ backends }: LoadBalancerState, wide: boolean): Promise<string> {
  const rows = backends.map(({ name, state, address }) => [name, state, ...(wide ? [address || "-"] : [])]);
  return textTable(["BACKEND", "LOAD BALANCER STATE", ...(wide ? ["FOR"] : [])], rows);
}
