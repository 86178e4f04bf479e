import t from "tap";
import { backendFindings, type BackendContext } from "../../../../client/doctor/backends.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import type { ApiBackend, BackendEndpoint } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const origin = { label: "", code: "CONFIG_INVALID", folder: "" } as const;
const configOf = (flags: Readonly<Record<string, string | boolean | readonly string[]>>) =>
  parseConfig({ kind: "empty", origin }, { flags: new Map(Object.entries(flags)), folder: "" });
const context: BackendContext = {
  where: "controller-0",
  config: configOf({ "--aggregation": true }),
  controllers: ["10.240.0.10", "10.240.0.11"],
};
const backend: ApiBackend = {
  kind: "APIService",
  name: "v1.example.com",
  service: "default/policy",
  required: true,
  reason: "",
  endpoints: [],
};
const endpoint: BackendEndpoint = {
  address: "10.200.1.5",
  port: 8443,
  node: "worker-1",
  nodeAddress: "10.240.0.21",
  podCidr: "",
  failure: "ETIMEDOUT",
};
const findings = (change: Partial<BackendEndpoint>) =>
  backendFindings([{ ...backend, endpoints: [{ ...endpoint, ...change }] }], context);
const firewall =
  "gcloud compute firewall-rules create kubernetes-the-hard-way-allow-backends-8443 --network kubernetes-the-hard-way --allow tcp:8443 --source-ranges 10.240.0.10/32,10.240.0.11/32";
const route = (range: string): string =>
  `gcloud compute routes create kubernetes-route-${range.replaceAll(/[./]/g, "-")} --network kubernetes-the-hard-way --next-hop-address 10.240.0.21 --destination-range ${range}`;

t.test("reachable backends cause no finding", async (t) => {
  t.strictSame(findings({ failure: "" }), []);
  t.strictSame(backendFindings([], context), []);
});

t.test("for an unreachable pod, the finding names the route that lab 11 creates and the firewall rule", async (t) => {
  t.strictSame(findings({}), [
    {
      severity: "error",
      where: "controller-0",
      subject: "APIService v1.example.com",
      message: "10.200.1.5:8443 on worker-1 cannot be reached (ETIMEDOUT): a route or a firewall rule may be missing",
      remedy: `${route("10.200.1.0/24")}; if this route exists, let the controllers through the firewall: ${firewall}`,
    },
  ]);
  t.match(findings({ podCidr: "10.200.0.0/20" })[0]?.remedy, route("10.200.0.0/20"));
});

t.test("if no route from lab 11 applies, the finding names only the firewall rule", async (t) => {
  const only = { message: /: a firewall rule may be missing$/, remedy: firewall };
  t.match(findings({ address: "10.240.0.30" }), [only]);
  t.match(findings({ nodeAddress: "" }), [only]);
  t.match(findings({ address: "fd00::5" }), [only]);
});

t.test("a shell command in a remedy contains no text that a kubelet could have injected", async (t) => {
  const evil = "10.240.0.21; reboot";
  t.notMatch(findings({ nodeAddress: evil })[0]?.remedy, "reboot");
  t.notMatch(findings({ podCidr: evil })[0]?.remedy, "reboot");
});

t.test("a refused connection is reported as a fault of the backend and not of the network", async (t) => {
  const [found] = findings({ failure: "ECONNREFUSED" });
  t.match(found, { message: "10.200.1.5:8443 on worker-1 refuses connections", remedy: /listens on port 8443/ });
});

t.test("a broken webhook that the API server may ignore causes only a warning", async (t) => {
  const ignored = { ...backend, kind: "ValidatingWebhookConfiguration", name: "a/b", required: false };
  const reason = "the service default/policy has no ready endpoint";
  t.match(backendFindings([{ ...ignored, reason }], context), [
    { severity: "warning", subject: "ValidatingWebhookConfiguration a/b", message: reason },
  ]);
});

t.test("if the aggregation layer is off, a single finding names the setting that turns it on", async (t) => {
  const lab = { ...context, config: configOf({}) };
  t.match(backendFindings([backend, { ...backend, name: "v2.example.com" }], lab), [
    { severity: "warning", subject: "aggregation", remedy: /^set aggregation: true in khw\.yaml/ },
  ]);
  t.strictSame(backendFindings([], lab), []);
  const { kubernetes } = lab.config;
  const flags = { ...kubernetes.flags, "kube-apiserver": { "enable-aggregator-routing": "true" } };
  const own = { ...lab.config, kubernetes: { ...kubernetes, flags } };
  t.strictSame(backendFindings([backend], { ...lab, config: own }), []);
});
