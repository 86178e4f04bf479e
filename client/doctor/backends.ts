import { isIPv4 } from "node:net";
import type { ApiBackend, BackendEndpoint } from "../../proto/gen/khw/agent/v1/agent.ts";
import { KhwError } from "../../proto/errors.ts";
import { cidrsOverlap, parseCidr } from "../../proto/validate.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { administrator } from "./api.ts";
import type { DoctorCheck, Finding } from "./check.ts";
import { answered, type Facts, factsOf } from "./facts.ts";

/** Checks that every controller reaches the backends of all webhooks and APIServices, because any API server may call them. */
export function backendChecks(facts: Facts): DoctorCheck[] {
  return facts.config.nodes.map(({ name: where }) => ({
    where,
    title: "the backends of all webhooks and APIServices are reachable from this controller",
    run: async (signal) => {
      await factsOf(facts, where).catch((cause: unknown) => {
        throw new KhwError("UNREACHABLE", "its agent does not answer", { node: where, cause });
      });
      const node = facts.cluster.members.find((member) => member.node.address.name === where)?.node;
      if (node === undefined) throw new KhwError("UNREACHABLE", "its address is unknown");
      const { ca, certificate, key } = await administrator(facts);
      const backends = await node.probeBackends({ ca, certificate, key }, signal);
      const controllers = (await answered(facts)).flatMap(({ info }) => info.identity?.internalIp || []);
      return backendFindings(backends, { where, config: facts.config, controllers });
    },
  }));
}

export interface BackendContext {
  /** The controller that probed the backends. */
  readonly where: string;
  readonly config: Pick<ClusterConfig, "aggregation" | "cluster" | "gce" | "kubernetes">;
  /** The internal addresses of the controllers that answered. */
  readonly controllers: readonly string[];
}

/** Returns a finding for each backend that the controller's API server cannot use. */
export function backendFindings(backends: readonly ApiBackend[], context: BackendContext): Finding[] {
  const { where, config } = context;
  if (backends.length > 0 && !routesToEndpoints(config)) {
    const names = backends.map(({ kind, name }) => `${kind} ${name}`).join(", ");
    const message = `${names}: the API server connects to service addresses, so the controller needs kube-proxy`;
    const remedy = "set aggregation: true in khw.yaml, then run khw-client pki create and khw-client bootstrap";
    return [{ severity: "warning", where, subject: "aggregation", message, remedy }];
  }
  return backends.flatMap((backend): Finding[] => {
    const at = { severity: backend.required ? "error" : "warning", where, subject: subjectOf(backend) } as const;
    if (backend.reason !== "") {
      const remedy = `make the backend ready, or delete the ${backend.kind}`;
      return [{ ...at, message: backend.reason, remedy }];
    }
    return backend.endpoints
      .filter(({ failure }) => failure !== "")
      .map((endpoint) => ({ ...at, ...unreachable(endpoint, context) }));
  });
}

/** Whether API servers connect to the endpoints of a service instead of the service's own address. */
function routesToEndpoints({ aggregation, kubernetes }: BackendContext["config"]): boolean {
  const own = kubernetes.flags["kube-apiserver"]["enable-aggregator-routing"];
  return own === undefined ? aggregation : own === "true";
}

function subjectOf({ kind, name }: ApiBackend): string {
  return `${kind} ${name}`;
}

function unreachable(endpoint: BackendEndpoint, context: BackendContext): Pick<Finding, "message" | "remedy"> {
  const { address, port, node, failure } = endpoint;
  const on = node === "" ? "" : ` on ${node}`;
  const place = `${address}:${port}${on}`;
  if (failure === "ECONNREFUSED") {
    const remedy = `check that the backend listens on port ${port}: kubectl get pods --all-namespaces -o wide`;
    return { message: `${place} refuses connections`, remedy };
  }
  const message = `${place} cannot be reached (${failure})`;
  const [route, firewall] = [routeCommand(endpoint, context), firewallCommand(endpoint, context)];
  if (route === undefined) return { message: `${message}: a firewall rule may be missing`, remedy: firewall };
  const remedy = `${route}; if this route exists, let the controllers through the firewall: ${firewall}`;
  return { message: `${message}: a route or a firewall rule may be missing`, remedy };
}

/**
 * Returns lab 11's route command for a pod on a known node; undefined for other addresses. Accepts only addresses of
 * the expected form, because kubelets report the addresses and users run the command in a shell.
 */
function routeCommand(
  { address, nodeAddress, podCidr }: BackendEndpoint,
  { config: { cluster, gce } }: BackendContext,
): string | undefined {
  const pods = parseCidr("cluster.clusterCidr", cluster.clusterCidr);
  if (!isIPv4(nodeAddress) || !isIPv4(address) || !cidrsOverlap(pods, parseCidr("endpoint", `${address}/32`)))
    return undefined;
  // In the labs, the Node objects have no podCIDR, and each worker's pods have their own /24.
  const range = /^[\d.]+\/\d+$/.test(podCidr) ? podCidr : address.replace(/\.\d+$/, ".0/24");
  const name = `kubernetes-route-${range.replaceAll(/[./]/g, "-")}`;
  return `gcloud compute routes create ${name} --network ${gce.network} --next-hop-address ${nodeAddress} --destination-range ${range}`;
}

function firewallCommand({ port }: BackendEndpoint, { config: { gce }, controllers }: BackendContext): string {
  const sources = controllers.map((address) => `${address}/32`).join(",");
  return `gcloud compute firewall-rules create ${gce.network}-allow-backends-${port} --network ${gce.network} --allow tcp:${port} --source-ranges ${sources}`;
}
