import { type KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import { type Component, type GetStatusResponse, Health, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { openCluster, type OpenCluster } from "../cluster.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../context.ts";
import type { BackendHealth } from "../gce/health.ts";
import type { AgentNode } from "../node.ts";
import type { Output } from "../progress/open.ts";

export interface StatusOptions {
  readonly output: Output;
}

interface NodeStatus {
  readonly node: string;
  readonly status?: GetStatusResponse;
  readonly error?: KhwError;
}

interface LoadBalancerStatus {
  readonly backends: readonly BackendHealth[];
  readonly error?: KhwError;
}

/** Everything as it is now: machines, components, load balancer. Exit code 0 when all is well, 1 when not. */
export async function status(
  config: ClusterConfig,
  { signal, write }: Context,
  { output }: StatusOptions,
): Promise<number> {
  await using cluster = await openCluster(config, signal);
  const [nodes, loadBalancer] = await Promise.all([
    Promise.all(cluster.members.map(({ node, error }) => readNode(node, error, signal))),
    readLoadBalancer(cluster, signal),
  ]);
  write(output === "json" ? toJson(nodes, loadBalancer) : await toTables(nodes, loadBalancer));
  return allWell(nodes, loadBalancer) ? 0 : 1;
}

async function readNode(
  { address: { name }, status: ask }: AgentNode,
  error: KhwError | undefined,
  signal: AbortSignal,
): Promise<NodeStatus> {
  if (error !== undefined) return { node: name, error };
  try {
    return { node: name, status: await ask(signal) };
  } catch (thrown) {
    return { node: name, error: toKhwError(thrown) };
  }
}

async function readLoadBalancer({ cloud }: OpenCluster, signal: AbortSignal): Promise<LoadBalancerStatus | undefined> {
  if (cloud === undefined) return undefined;
  try {
    const { poolHealth } = await import("../gce/health.ts");
    return { backends: await poolHealth(cloud.compute, cloud.loadBalancer, signal) };
  } catch (error) {
    return { backends: [], error: toKhwError(error) };
  }
}

function allWell(nodes: readonly NodeStatus[], loadBalancer: LoadBalancerStatus | undefined): boolean {
  return (
    nodes.every(
      ({ status: found }) => found?.components.every(({ health }) => health === Health.HEALTH_HEALTHY) === true,
    ) &&
    (loadBalancer === undefined ||
      (loadBalancer.error === undefined && loadBalancer.backends.every(({ state }) => state === "HEALTHY")))
  );
}

function toJson(nodes: readonly NodeStatus[], loadBalancer: LoadBalancerStatus | undefined): string {
  const withDetail = <T extends { readonly error?: KhwError }>({ error, ...rest }: T) =>
    error === undefined ? rest : { ...rest, error: toDetail(error) };
  const document = {
    nodes: nodes.map(({ node, status: found, error }) => ({
      node,
      ...(error === undefined ? {} : { error: toDetail(error) }),
      ...(found === undefined
        ? {}
        : { ...found, operation: describeOperation(found), components: found.components.map(componentJson) }),
    })),
    ...(loadBalancer === undefined ? {} : { loadBalancer: withDetail(loadBalancer) }),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function componentJson({ health, ...rest }: Component): Record<string, unknown> {
  return { ...rest, health: health === Health.HEALTH_HEALTHY ? "healthy" : "unhealthy" };
}

function describeOperation({ operation }: GetStatusResponse): Record<string, unknown> | null {
  return operation === undefined ? null : { ...operation, state: stateName(operation.state) };
}

function stateName(state: OperationState): string {
  const [name = "unknown"] = Object.entries(OperationState).find(([, value]) => value === state) ?? [];
  return name.replace("OPERATION_STATE_", "").toLowerCase();
}

async function toTables(nodes: readonly NodeStatus[], loadBalancer: LoadBalancerStatus | undefined): Promise<string> {
  const { default: Table } = await import("cli-table3");
  const table = (head: string[], rows: readonly (readonly string[])[]): string => {
    const drawn = new Table({
      head,
      chars: plainChars,
      style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    });
    drawn.push(...rows.map((row) => [...row]));
    return drawn
      .toString()
      .split("\n")
      .map((line) => line.trimEnd())
      .join("\n");
  };
  const machines = table(
    ["NODE", "ADDRESS", "ZONE", "AGENT", "LOAD", "MEMORY", "DISK", "LAST OPERATION"],
    nodes.map(machineRow),
  );
  const components = table(
    ["NODE", "COMPONENT", "STATE", "VERSION", "PID", "SINCE", "RESTARTS", "HEALTH"],
    nodes.flatMap(({ node, status: found }) =>
      (found?.components ?? []).map((component) => componentRow(node, component)),
    ),
  );
  const backends =
    loadBalancer === undefined
      ? []
      : [
          loadBalancer.error?.message ??
            table(
              ["BACKEND", "LOAD BALANCER SAYS"],
              loadBalancer.backends.map(({ name, state }) => [name, state]),
            ),
        ];
  return `${[machines, components, ...backends].join("\n\n")}\n`;
}

function machineRow({ node, status: found, error }: NodeStatus): string[] {
  if (found?.identity === undefined || found.machine === undefined) return [node, error?.message ?? "no answer"];
  const { identity, machine, agentVersion, operation } = found;
  return [
    node,
    identity.internalIp,
    identity.zone,
    agentVersion,
    (machine.load[0] ?? 0).toFixed(2),
    `${gib(machine.memoryTotal - machine.memoryAvailable)} of ${gib(machine.memoryTotal)} GiB`,
    `${gib(machine.diskTotal - machine.diskAvailable)} of ${gib(machine.diskTotal)} GiB`,
    operation === undefined ? "none" : stateName(operation.state),
  ];
}

function componentRow(node: string, component: Component): string[] {
  const { name, activeState, enabled, version, pid, sinceUnixMillis, restarts, health, reason } = component;
  return [
    node,
    name,
    `${activeState}${enabled ? "" : ", not enabled"}`,
    version || "-",
    pid === 0 ? "-" : String(pid),
    sinceUnixMillis === 0 ? "-" : new Date(sinceUnixMillis).toISOString().slice(0, 19).replace("T", " "),
    String(restarts),
    health === Health.HEALTH_HEALTHY ? "healthy" : reason,
  ];
}

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(1);
}

/** No lines: columns alone, as kubectl shows them. */
const plainChars = Object.fromEntries(
  [
    "top",
    "top-mid",
    "top-left",
    "top-right",
    "bottom",
    "bottom-mid",
    "bottom-left",
    "bottom-right",
    "left",
    "left-mid",
    "mid",
    "mid-mid",
    "right",
    "right-mid",
    "middle",
  ].map((name) => [name, ""]),
);
