import { setImmediate } from "node:timers/promises";
import t from "tap";
import { probeBackends } from "../../../../agent/api/probe-backends.ts";
import type { KubernetesApi } from "../../../../proto/kubernetes-api.ts";
import { never } from "../../../fixtures/machine.ts";

const admission = "/apis/admissionregistration.k8s.io/v1";
const webhooks = `${admission}/validatingwebhookconfigurations`;
const apiServices = "/apis/apiregistration.k8s.io/v1/apiservices";
const empty = { items: [] };

/**
 * Probes the backends of an API server with these objects. `closed` maps an ADDRESS:PORT to the error of its
 * connections.
 */
async function probed(objects: Readonly<Record<string, unknown>>, closed: Readonly<Record<string, string>> = {}) {
  const all: Readonly<Record<string, unknown>> = {
    [webhooks]: empty,
    [`${admission}/mutatingwebhookconfigurations`]: empty,
    [apiServices]: empty,
    ...objects,
  };
  const requests: string[] = [];
  const running = { now: 0, most: 0 };
  const api: KubernetesApi = async (_, path) => {
    requests.push(path);
    running.now += 1;
    running.most = Math.max(running.most, running.now);
    await setImmediate();
    running.now -= 1;
    const body = all[path.replace("?limit=100", "")];
    return body === undefined ? { status: 404, body: { message: "not found" } } : { status: 200, body };
  };
  const tried: string[] = [];
  const connect = async (address: string, { port }: { readonly port: number }): Promise<string> => {
    tried.push(`${address}:${port}`);
    return closed[`${address}:${port}`] ?? "";
  };
  return { backends: await probeBackends({ api, probes: { connect } }, never), tried, requests, most: running.most };
}

const webhook = (name: string, more: object = {}): object => ({
  metadata: { name },
  webhooks: [{ name: "a", clientConfig: { service: { namespace: "default", name: "policy" } }, ...more }],
});
const services = {
  "/api/v1/namespaces/default/services/policy": {
    spec: {
      ports: [
        { name: "metrics", port: 9090 },
        { name: "https", port: 443 },
      ],
    },
  },
};
const endpoints = (...addresses: readonly object[]) => ({
  "/api/v1/namespaces/default/endpoints/policy": {
    subsets: [
      {
        addresses,
        ports: [
          { name: "metrics", port: 9091 },
          { name: "https", port: 8443 },
        ],
      },
    ],
  },
});

t.test(
  "each endpoint of a service is probed on its target port, and only once even if several webhooks use the service",
  async (t) => {
    const items = [webhook("one"), webhook("two", { failurePolicy: "Ignore" })];
    const { backends, tried } = await probed({
      [webhooks]: { items },
      ...services,
      ...endpoints({ ip: "10.200.0.5" }),
    });
    t.strictSame(tried, ["10.200.0.5:8443"]);
    const endpoint = { address: "10.200.0.5", port: 8443, node: "", nodeAddress: "", podCidr: "", failure: "" };
    const common = { kind: "ValidatingWebhookConfiguration", service: "default/policy", reason: "" };
    t.strictSame(backends, [
      { ...common, name: "one/a", required: true, endpoints: [endpoint] },
      { ...common, name: "two/a", required: false, endpoints: [endpoint] },
    ]);
  },
);

t.test("an unreachable endpoint is reported with its node's address and pod range", async (t) => {
  const node = {
    spec: { podCIDR: "10.200.0.0/24" },
    status: {
      addresses: [
        { type: "Hostname", address: "worker-0" },
        { type: "InternalIP", address: "10.240.0.20" },
      ],
    },
  };
  const service = { namespace: "default", name: "policy", port: 9090 };
  const { backends } = await probed(
    {
      [apiServices]: { items: [{ metadata: { name: "v1.example.com" }, spec: { service } }] },
      ...services,
      ...endpoints({ ip: "10.200.0.5", nodeName: "worker-0" }, { ip: "10.200.1.5", nodeName: "gone" }),
      "/api/v1/nodes/worker-0": node,
    },
    { "10.200.0.5:9091": "ETIMEDOUT", "10.200.1.5:9091": "EHOSTUNREACH" },
  );
  t.match(backends, [
    {
      kind: "APIService",
      name: "v1.example.com",
      endpoints: [
        { failure: "ETIMEDOUT", node: "worker-0", nodeAddress: "10.240.0.20", podCidr: "10.200.0.0/24" },
        { failure: "EHOSTUNREACH", node: "gone", nodeAddress: "", podCidr: "" },
      ],
    },
  ]);
});

t.test("a service without a usable endpoint is reported with the reason, and no endpoint is probed", async (t) => {
  const at = (service: object) => ({ items: [{ metadata: { name: "v1.example.com" }, spec: { service } }] });
  const policy = { namespace: "default", name: "policy" };
  for (const [objects, reason] of [
    [{ [apiServices]: at({ ...policy, name: "absent" }) }, "the service default/absent does not exist"],
    [
      { [apiServices]: at(policy), ...services, "/api/v1/namespaces/default/endpoints/policy": {} },
      "the service default/policy has no ready endpoint",
    ],
    [
      { [apiServices]: at({ ...policy, port: 8080 }), ...services, ...endpoints({ ip: "10.200.0.5" }) },
      "the service default/policy has no port 8080",
    ],
    [
      { [apiServices]: at(policy), ...services, ...endpoints({ ip: "example.com" }) },
      "the service default/policy has no ready endpoint for port 443",
    ],
  ] as const) {
    const { backends, tried } = await probed(objects);
    t.strictSame([backends.map((backend) => backend.reason), tried], [[reason], []]);
  }
});

t.test("webhooks with a URL and APIs that the API server serves itself are not probed", async (t) => {
  const outside = { name: "a", clientConfig: { url: "https://192.0.2.1" } };
  const { backends } = await probed({
    [webhooks]: { items: [{ metadata: { name: "outside" }, webhooks: [outside] }] },
    [apiServices]: { items: [{ metadata: { name: "v1.apps" }, spec: { service: null } }] },
  });
  t.strictSame(backends, []);
});

t.test("at most ten endpoints of a service are probed", async (t) => {
  const addresses = Array.from({ length: 30 }, (_, index) => ({ ip: `10.200.0.${index}` }));
  const { tried } = await probed({ [webhooks]: { items: [webhook("one")] }, ...services, ...endpoints(...addresses) });
  t.equal(tried.length, 10);
});

t.test("each service, port and node is read only once", async (t) => {
  const service = { namespace: "default", name: "policy", port: 9090 };
  const addresses = ["10.200.0.5", "10.200.0.6"].map((ip) => ({ ip, nodeName: "worker-0" }));
  const { backends, requests } = await probed(
    {
      [webhooks]: { items: Array.from({ length: 50 }, (_, index) => webhook(`webhook-${index}`)) },
      [apiServices]: { items: [{ metadata: { name: "v1.example.com" }, spec: { service } }] },
      ...services,
      ...endpoints(...addresses),
      "/api/v1/nodes/worker-0": { spec: { podCIDR: "10.200.0.0/24" } },
    },
    { "10.200.0.5:8443": "ETIMEDOUT", "10.200.0.6:8443": "ETIMEDOUT", "10.200.0.6:9091": "ETIMEDOUT" },
  );
  const count = (path: string): number => requests.filter((request) => request === path).length;
  t.equal(
    count("/api/v1/namespaces/default/endpoints/policy"),
    2,
    "the endpoints are requested only once for each of the two ports",
  );
  t.equal(count("/api/v1/namespaces/default/services/policy"), 2);
  t.equal(count("/api/v1/nodes/worker-0"), 1);
  t.equal(backends.length, 51);
  for (const { kind, endpoints: found } of backends) {
    const port = kind === "APIService" ? 9091 : 8443;
    t.match(found, [{ port }, { port, failure: "ETIMEDOUT", podCidr: "10.200.0.0/24" }], kind);
  }
});

t.test("at most 16 requests run at the same time", async (t) => {
  const items = Array.from({ length: 100 }, (_, index) => ({
    metadata: { name: `v1.example-${index}.com` },
    spec: { service: { namespace: "default", name: `service-${index}` } },
  }));
  const { backends, most } = await probed({ [apiServices]: { items } });
  t.equal(backends.length, 100);
  t.equal(most, 16);
});
