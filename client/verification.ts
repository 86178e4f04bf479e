import { KhwError } from "../proto/errors.ts";
import { createKubernetesApi } from "../proto/kubernetes-api.ts";
import type { Cloud, OpenCluster } from "./cluster.ts";
import type { Prepared } from "./prepare.ts";
import { type Check, clusterChecks, nodeCheck, publicAddressChecks } from "./verify.ts";

const requestMillis = 10_000;

/** All that proves, from outside, that a cluster works. */
export function verification(
  { config, cloud }: OpenCluster,
  { publicAddress: address, admin, work }: Prepared,
): Check[] {
  const server = `https://${address}:6443`;
  const { ca, certificate, key } = admin;
  const api = createKubernetesApi({ server, ca, certificate, key, timeoutMillis: requestMillis });
  return [
    ...publicAddressChecks(api, { address, ca, version: config.kubernetes.version }),
    ...work.map(({ node }) => nodeCheck(node)),
    ...(cloud === undefined ? [] : work.map(({ node }) => backendCheck(cloud, node.address.name))),
    ...clusterChecks(api),
  ];
}

function backendCheck({ compute, loadBalancer }: Cloud, name: string): Check {
  return {
    title: `${name} is HEALTHY in the target pool ${loadBalancer.targetPool}`,
    run: async (signal) => {
      const { poolHealth } = await import("./gce/health.ts");
      const instances = loadBalancer.instances.filter((instance) => instance.name === name);
      const [health] = await poolHealth(compute, { ...loadBalancer, instances }, signal);
      if (health?.state === "HEALTHY") return;
      throw new KhwError("VERIFY_FAILED", `Google's health check says ${health?.state ?? "nothing"}`, {
        hint: "is nginx up on the node, and does the firewall let the health checks in? see khw-client status",
      });
    },
  };
}
