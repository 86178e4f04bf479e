/**
 * Simulates controllers and a load balancer in memory. A node is serving while it is not drained and its API server is
 * healthy.
 */
import type { OpenCluster } from "../../client/cluster/open.ts";
import { loadConfig } from "../../client/config/load.ts";
import type { Compute } from "../../client/gce/compute.ts";
import { labLoadBalancer } from "../../client/gce/config.ts";
import type { Reference } from "../../client/gce/references.ts";
import type { Kind, Resources } from "../../client/gce/resources.ts";
import type { AgentNode } from "../../client/cluster/agent-client.ts";
import { KhwError } from "../../proto/errors.ts";
import { DrainReason, type GetPlanResponse, GetStatusResponse, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { unusedEtcd, unusedRemoval } from "./etcd-calls.ts";

const rollingUpdate = DrainReason.DRAIN_REASON_ROLLING_UPDATE;

export interface FakeNode {
  readonly name: string;
  drained: boolean;
  /** Why the node is drained. */
  reason?: DrainReason | undefined;
  /** Whether the API server is healthy. nginx's health check reports the same state. */
  well: boolean;
  /** Whether the API server is running although it is not healthy. */
  hangs?: boolean;
  /** Whether the agent has rolled back the node's last operation. */
  rolledBack?: boolean;
  /** Whether the agent answers calls. */
  reachable: boolean;
  /** A fixed health-check result, regardless of the node's real health. */
  stuck?: "HEALTHY" | "UNHEALTHY";
  /** Whether an operation is running. During an operation, the node must not be changed. */
  busy: boolean;
  /** Performs a restart. By default, the API server is healthy afterwards. */
  restart?: () => Promise<void>;
  plan?: GetPlanResponse;
}

export interface FakeCluster extends OpenCluster {
  readonly nodes: readonly FakeNode[];
  /** The actions so far, in order, for example "controller-0 drained". */
  readonly log: string[];
}

export async function createFakeCluster(names: readonly string[], loadBalancer = true): Promise<FakeCluster> {
  const nodes = names.map((name): FakeNode => ({ name, drained: false, well: true, reachable: true, busy: false }));
  const log: string[] = [];
  const config = await loadConfig({ file: undefined, flags: new Map(), folder: "/", env: {} });
  const instances = names.map((name) => ({ name, zone: "us-west1-c" }));
  const place = { project: "khw-testbed", region: "us-west1", instances };
  return {
    nodes,
    log,
    config: { ...config, timeouts: { ...config.timeouts, verify: 1_000, drain: 1 } },
    members: nodes.map((node) => ({ node: agentOf(node, log), info: infoOf() })),
    cloud: loadBalancer ? { compute: computeOf(nodes), loadBalancer: { ...labLoadBalancer, ...place } } : undefined,
    instances: [],
    reconnect: (node) => node,
    [Symbol.asyncDispose]: async () => {},
  };
}

function infoOf() {
  return { agentVersion: "0.1.0", identity: undefined, architecture: "amd64", clockUnixMillis: 0 };
}

function agentOf(node: FakeNode, log: string[]): AgentNode {
  const { name } = node;
  const unused = (): never => {
    throw new Error("not called in this test");
  };
  const answer = (signal: AbortSignal): void => {
    signal.throwIfAborted();
    if (!node.reachable) throw new KhwError("UNREACHABLE", "no answer", { node: name });
  };
  return {
    address: { name, host: "127.0.0.1", port: 1 },
    info: unused,
    preflight: unused,
    tryPrograms: unused,
    plan: unused,
    apply: unused,
    prepare: unused,
    applyRbac: unused,
    inspectApi: unused,
    hardening: async () => ({ components: [], files: [], encryptionProviders: [] }),
    probeBackends: unused,
    tryCertificate: unused,
    recordUpgrade: unused,
    upgradeAgent: unused,
    watch: unused,
    logs: unused,
    etcd: unusedEtcd,
    removal: unusedRemoval,
    history: unused,
    audit: unused,
    storedValues: unused,
    storedVersions: unused,
    status: async (signal) => {
      answer(signal);
      const health = node.well ? Health.HEALTH_HEALTHY : Health.HEALTH_UNHEALTHY;
      const reason = node.well ? "" : "/readyz answers 500";
      return GetStatusResponse.fromPartial({
        components: ["kube-apiserver", "kube-scheduler", "etcd"].map((component) => ({
          name: component,
          pid: node.well || node.hangs === true ? 100 : 0,
          health: component === "kube-scheduler" ? Health.HEALTH_HEALTHY : health,
          reason,
        })),
        ...(node.rolledBack === true && { operation: { rolledBack: {} } }),
        maintenance: { drained: node.drained, reason: node.reason, holder: "jane", sinceUnixMillis: 1 },
      });
    },
    drift: async (signal) => {
      answer(signal);
      return node.plan ?? { steps: [], differences: [] };
    },
    restart: async ({ component }, signal) => {
      answer(signal);
      log.push(`${name} ${component} restarted${node.drained ? " while drained" : ""}`);
      await node.restart?.();
      node.well = true;
      return { durationMillis: 1 };
    },
    setMaintenance: async ({ drained, reason }, signal) => {
      answer(signal);
      if (node.busy) throw new KhwError("BUSY", "jane is at it", { node: name });
      const ofPerson = node.drained && node.reason !== rollingUpdate;
      if (!drained && ofPerson && reason === rollingUpdate)
        return { drained: true, holder: "jane", sinceUnixMillis: 1 };
      if (drained !== node.drained) log.push(`${name} ${drained ? "drained" : "undrained"}`);
      if (drained !== node.drained || reason !== rollingUpdate) node.reason = reason;
      node.drained = drained;
      return { drained, holder: "", sinceUnixMillis: 0 };
    },
    close: () => {},
  };
}

function computeOf(nodes: readonly FakeNode[]): Compute {
  const unused = (): never => {
    throw new Error("not called in this test");
  };
  return {
    insert: unused,
    patch: unused,
    delete: unused,
    changePool: unused,
    setMetadata: unused,
    instancesNamed: unused,
    ...poolOf(nodes),
  };
}

function poolOf(nodes: readonly FakeNode[]): Pick<Compute, "get" | "health"> {
  const path = (name: string): string => `projects/khw-testbed/zones/us-west1-c/instances/${name}`;
  const pool = { instances: nodes.map(({ name }) => path(name)), healthChecks: [] };
  return {
    get: async <K extends Kind>(reference: Reference<K>, signal: AbortSignal) => {
      signal.throwIfAborted();
      const resources: Partial<Resources> = { targetPools: pool };
      return resources[reference.kind];
    },
    health: async (_, instance, signal) => {
      signal.throwIfAborted();
      const node = nodes.find(({ name }) => path(name) === instance);
      const healthy = node?.stuck ?? (node?.well === true && !node.drained ? "HEALTHY" : "UNHEALTHY");
      return [{ healthState: healthy, ipAddress: "192.0.2.9" }];
    },
  };
}
