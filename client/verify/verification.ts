import { KhwError } from "../../proto/errors.ts";
import { createKubernetesApi } from "../../proto/kubernetes-api.ts";
import type { Cloud, Member, OpenCluster } from "../cluster/open.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { nodesAtOnce, onNodes } from "../cluster/for-each-node.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import { type Check, clusterChecks, nodeCheck, publicAddressChecks } from "./verify.ts";

const requestMillis = 10_000;

/** The part of a plan that verification needs. */
interface Target {
  readonly publicAddress: string;
  readonly admin: AdminCredentials;
  readonly work: readonly { readonly node: AgentNode }[];
}

/**
 * Returns all checks that prove from outside that a cluster works. A drained node must be out of the load balancer.
 */
export function verification(
  { config, cloud }: OpenCluster,
  { publicAddress: address, admin, work }: Target,
  drained: ReadonlySet<AgentNode>,
): Check[] {
  const server = `https://${address}:6443`;
  const { ca, certificate, key } = admin;
  const api = createKubernetesApi({ server, ca, certificate, key, timeoutMillis: requestMillis });
  return [
    ...publicAddressChecks(api, { address, ca, version: config.kubernetes.version }),
    ...work.map(({ node }) => nodeCheck(node)),
    ...(cloud === undefined ? [] : work.map(({ node }) => backendCheck(cloud, node.address.name, drained.has(node)))),
    ...clusterChecks(api),
  ];
}

/** Returns the drained nodes; a node that does not answer is left out. */
export async function findDrained(members: readonly Member[], signal: AbortSignal): Promise<ReadonlySet<AgentNode>> {
  const answers = await onNodes(members, nodesAtOnce, (node) => node.status(signal));
  const drained = members.filter((_, index) => answers[index]?.value?.maintenance?.drained === true);
  return new Set(drained.map(({ node }) => node));
}

function backendCheck({ compute, loadBalancer }: Cloud, name: string, drained: boolean): Check {
  const pool = `the target pool ${loadBalancer.targetPool}`;
  return {
    title: drained ? `${name} is drained, and not HEALTHY in ${pool}` : `${name} is HEALTHY in ${pool}`,
    run: async (signal) => {
      const { poolHealth } = await import("../gce/health.ts");
      const instances = loadBalancer.instances.filter((instance) => instance.name === name);
      const [health] = await poolHealth(compute, { ...loadBalancer, instances }, signal);
      if ((health?.state === "HEALTHY") !== drained) return;
      throw new KhwError("VERIFY_FAILED", `Google's health check says ${health?.state ?? "nothing"}`, {
        hint: "is nginx up on the node, and does the firewall let the health checks in? see khw-client status",
      });
    },
  };
}
