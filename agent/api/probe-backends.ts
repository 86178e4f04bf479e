import { isIP } from "node:net";
import pLimit from "p-limit";
import type { ApiBackend, BackendEndpoint } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import type { Probes } from "../os/probes.ts";
import { nameOf, readEndpoints, readPortName } from "./endpoints.ts";
import { field, listField, textField } from "./objects.ts";
import { type NamedService, readApiServices, readWebhooks } from "./webhooks.ts";

/** The port of a webhook or an APIService that names no port. */
const defaultPort = 443;
const mostEndpoints = 10;
const concurrency = 16;
const connectMillis = 3000;

/** The API server that knows the backends, and the machine that tries them. */
export interface BackendProbe {
  readonly api: KubernetesApi;
  readonly probes: Pick<Probes, "connect">;
}

/**
 * Tries a connection to the endpoints of every service that a webhook or an APIService names. An API server with an
 * aggregation layer finds the endpoints in the same way.
 * @throws KhwError UNREACHABLE if the API server does not answer; VERIFY_FAILED if the API server refuses a request
 */
export async function probeBackends({ api, probes }: BackendProbe, signal: AbortSignal): Promise<ApiBackend[]> {
  const [webhooks, services] = await Promise.all([readWebhooks(api, signal), readApiServices(api, signal)]);
  const limit = pLimit(concurrency);
  const tries = new Map<string, Promise<string>>();
  /** Several objects often name the same service, so each endpoint is tried only once. */
  const tryOnce = (address: string, port: number): Promise<string> => {
    const key = `${address} ${port}`;
    const begun =
      tries.get(key) ?? limit(() => probes.connect(address, { port, timeoutMillis: connectMillis, signal }));
    tries.set(key, begun);
    return begun;
  };
  return Promise.all(
    [...webhooks, ...services].map(async ({ kind, name, service, required }: NamedService) => {
      const { endpoints, reason } = await findEndpoints(api, service, signal);
      const tried = endpoints.map(async (endpoint) => {
        const failure = await tryOnce(endpoint.address, endpoint.port);
        return { ...endpoint, failure, ...(failure === "" ? noPlace : await placeOf(api, endpoint.node, signal)) };
      });
      return { kind, name, service: nameOf(service), required, reason, endpoints: await Promise.all(tried) };
    }),
  );
}

type Found = Pick<BackendEndpoint, "address" | "port" | "node">;

/** Returns the endpoints that serve the port of the service, or the reason why no endpoint serves the port. */
async function findEndpoints(
  api: KubernetesApi,
  service: unknown,
  signal: AbortSignal,
): Promise<{ readonly endpoints: readonly Found[]; readonly reason: string }> {
  const { subsets, reason } = await readEndpoints(api, service, signal);
  if (reason !== "") return { endpoints: [], reason };
  const port = numberField(service, "port") || defaultPort;
  const portName = await readPortName(api, { service, port }, signal);
  if (portName === undefined) return { endpoints: [], reason: `the service ${nameOf(service)} has no port ${port}` };
  const found = subsets.flatMap((subset) => {
    const open = listField(subset, "ports").find((one) => textField(one, "name") === portName);
    const number = numberField(open, "port");
    return number === 0 ? [] : listField(subset, "addresses").flatMap((address) => endpointOf(address, number));
  });
  const none = `the service ${nameOf(service)} has no ready endpoint for port ${port}`;
  return { endpoints: found.slice(0, mostEndpoints), reason: found.length === 0 ? none : "" };
}

function endpointOf(address: unknown, port: number): Found[] {
  const ip = textField(address, "ip");
  return isIP(ip) === 0 ? [] : [{ address: ip, port, node: textField(address, "nodeName") }];
}

type Place = Pick<BackendEndpoint, "nodeAddress" | "podCidr">;
const noPlace: Place = { nodeAddress: "", podCidr: "" };

/** Returns where the pods of a node are, which decides the route that is needed. */
async function placeOf(api: KubernetesApi, node: string, signal: AbortSignal): Promise<Place> {
  if (node === "") return noPlace;
  const { status, body } = await api("GET", `/api/v1/nodes/${encodeURIComponent(node)}`, { signal });
  if (status !== 200) return noPlace;
  const addresses = listField(field(body, "status"), "addresses");
  const internal = addresses.find((one) => textField(one, "type") === "InternalIP");
  return { nodeAddress: textField(internal, "address"), podCidr: textField(field(body, "spec"), "podCIDR") };
}

function numberField(value: unknown, name: string): number {
  const found = field(value, name);
  return typeof found === "number" ? found : 0;
}
