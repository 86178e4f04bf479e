import { isIP } from "node:net";
import pLimit from "p-limit";
import type { ApiBackend, BackendEndpoint } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import type { Probes } from "../os/probes.ts";
import { nameOf, readEndpoints, readPortName } from "./endpoints.ts";
import { field, listField, textField } from "./objects.ts";
import { type NamedService, readApiServices, readWebhooks } from "./webhooks.ts";

/** The default port, for a webhook or an APIService that names no port. */
const defaultPort = 443;
const mostEndpoints = 10;
const concurrency = 16;
const connectMillis = 3000;

/** Access to the API server that lists the backends, and to the machine that connects to them. */
export interface BackendProbe {
  readonly api: KubernetesApi;
  readonly probes: Pick<Probes, "connect">;
}

/**
 * Tries to connect to the endpoints of every service that a webhook or an APIService names. An API server with an
 * aggregation layer finds the endpoints in the same way. Several objects often name the same service, so each service
 * and node is read only once, and each endpoint is tried only once.
 * @throws KhwError UNREACHABLE if the API server does not answer; VERIFY_FAILED if the API server refuses a request
 */
export async function probeBackends({ api: whole, probes }: BackendProbe, signal: AbortSignal): Promise<ApiBackend[]> {
  // The limit applies only to single requests and connections, so a holder of a slot never waits for another slot.
  const limit = pLimit(concurrency);
  const api: KubernetesApi = (...request) => limit(() => whole(...request));
  const [webhooks, services] = await Promise.all([readWebhooks(api, signal), readApiServices(api, signal)]);
  const findOnce = oncePerKey<FoundEndpoints>();
  const placeOnce = oncePerKey<Place>();
  const tryOnce = oncePerKey<string>();
  const connect = (address: string, port: number): Promise<string> =>
    tryOnce(`${address} ${port}`, () =>
      limit(() => probes.connect(address, { port, timeoutMillis: connectMillis, signal })),
    );
  const place = (node: string): Promise<Place> => placeOnce(node, () => placeOf(api, node, signal));
  return Promise.all(
    [...webhooks, ...services].map(async ({ kind, name, service, required }: NamedService) => {
      const key = `${nameOf(service)} ${portOf(service)}`;
      const { endpoints, reason } = await findOnce(key, () => findEndpoints(api, service, signal));
      const tried = endpoints.map(async (endpoint) => {
        const failure = await connect(endpoint.address, endpoint.port);
        return { ...endpoint, failure, ...(failure === "" ? noPlace : await place(endpoint.node)) };
      });
      return { kind, name, service: nameOf(service), required, reason, endpoints: await Promise.all(tried) };
    }),
  );
}

/** Returns a function that begins the work for each key only once, and returns the same result to every caller. */
function oncePerKey<Value>(): (key: string, begin: () => Promise<Value>) => Promise<Value> {
  const begun = new Map<string, Promise<Value>>();
  return (key, begin) => {
    const result = begun.get(key) ?? begin();
    begun.set(key, result);
    return result;
  };
}

type Found = Pick<BackendEndpoint, "address" | "port" | "node">;

interface FoundEndpoints {
  readonly endpoints: readonly Found[];
  readonly reason: string;
}

/** Returns the endpoints that serve the service's port, or the reason why no endpoint serves it. */
async function findEndpoints(api: KubernetesApi, service: unknown, signal: AbortSignal): Promise<FoundEndpoints> {
  const { subsets, reason } = await readEndpoints(api, service, signal);
  if (reason !== "") return { endpoints: [], reason };
  const port = portOf(service);
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

/** Returns a node's address and pod CIDR, which determine the route that is needed. */
async function placeOf(api: KubernetesApi, node: string, signal: AbortSignal): Promise<Place> {
  if (node === "") return noPlace;
  const { status, body } = await api("GET", `/api/v1/nodes/${encodeURIComponent(node)}`, { signal });
  if (status !== 200) return noPlace;
  const addresses = listField(field(body, "status"), "addresses");
  const internal = addresses.find((one) => textField(one, "type") === "InternalIP");
  return { nodeAddress: textField(internal, "address"), podCidr: textField(field(body, "spec"), "podCIDR") };
}

function portOf(service: unknown): number {
  return numberField(service, "port") || defaultPort;
}

function numberField(value: unknown, name: string): number {
  const found = field(value, name);
  return typeof found === "number" ? found : 0;
}
