import t from "tap";
import { inspectApi } from "../../../../agent/api/inspect.ts";
import type { KubernetesApi } from "../../../../proto/kubernetes-api.ts";
import { never } from "../../../fixtures/machine.ts";

const webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const mutating = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const apiServices = "/apis/apiregistration.k8s.io/v1/apiservices";
const nodes = "/api/v1/nodes";

/** Inspects an API server that serves the given collections and objects at their paths. */
async function inspected(objects: Readonly<Record<string, unknown>>, metrics: readonly string[] = []) {
  const empty = { items: [] };
  const all: Readonly<Record<string, unknown>> = {
    [webhooks]: empty,
    [mutating]: empty,
    [apiServices]: empty,
    [nodes]: empty,
    ...objects,
  };
  const api: KubernetesApi = async (_, path) => {
    const body = all[path] ?? all[path.replace("?limit=100", "")];
    return body === undefined ? { status: 404, body: { message: "not found" } } : { status: 200, body };
  };
  const lines = async function* (): AsyncGenerator<string> {
    yield* metrics;
  };
  return inspectApi({ api, lines }, never);
}

const node = (name: string, kubeletVersion?: string): unknown => ({
  metadata: { name },
  status: { nodeInfo: kubeletVersion === undefined ? undefined : { kubeletVersion } },
});

t.test("kubelets are reported from all pages of the node list", async (t) => {
  const { kubelets } = await inspected({
    [nodes]: { items: [node("worker-0", "v1.20.2"), node("worker-1")], metadata: { continue: "a/b" } },
    [`${nodes}?limit=100&continue=a%2Fb`]: { items: [node("worker-2", "v1.19.0")] },
  });
  t.strictSame(kubelets, [
    { node: "worker-0", version: "v1.20.2" },
    { node: "worker-1", version: "" },
    { node: "worker-2", version: "v1.19.0" },
  ]);
});

t.test("an error response from the API server is quoted", async (t) => {
  await t.rejects(inspected({ [nodes]: undefined }), {
    code: "VERIFY_FAILED",
    message: 'the API server answered 404 to GET /api/v1/nodes: "not found"',
  });
});

t.test("requested deprecated APIs and failed requests are read from the API server's metrics", async (t) => {
  const { deprecatedApis, requests, serverErrors } = await inspected({}, [
    "# HELP apiserver_requested_deprecated_apis [ALPHA] Gauge of deprecated APIs that have been requested",
    'apiserver_requested_deprecated_apis{group="extensions",removed_release="1.22",resource="ingresses",subresource="",version="v1beta1"} 1',
    'apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1',
    'apiserver_requested_deprecated_apis{group="batch",removed_release="1.25",resource="cronjobs",subresource="",version="v1beta1"} 0',
    'apiserver_request_total{code="200",group="batch"} 12',
    'apiserver_request_total{code="503",group="batch"} 2',
    'apiserver_request_total{code="504",group=""} 1',
  ]);
  t.strictSame({ requests, serverErrors }, { requests: 15, serverErrors: 3 });
  t.strictSame(deprecatedApis, [
    { group: "extensions", version: "v1beta1", resource: "ingresses", subresource: "", removedRelease: "1.22" },
    { group: "", version: "v1", resource: "componentstatuses", subresource: "", removedRelease: "" },
  ]);
});

t.test("a webhook without a ready endpoint is reported, unless it has failurePolicy Ignore or a URL", async (t) => {
  const hook = (name: string, more: object): object => ({
    name,
    clientConfig: { service: { namespace: "default", name } },
    ...more,
  });
  const { deadBackends } = await inspected({
    [webhooks]: {
      items: [
        {
          metadata: { name: "policy" },
          webhooks: [
            hook("ready", { failurePolicy: "Fail" }),
            hook("empty", { failurePolicy: "Fail" }),
            hook("absent", {}),
            hook("ignored", { failurePolicy: "Ignore" }),
            { name: "outside", clientConfig: { url: "https://192.0.2.1" } },
          ],
        },
      ],
    },
    [mutating]: { items: [{ metadata: { name: "defaults" }, webhooks: [hook("empty", {})] }] },
    "/api/v1/namespaces/default/endpoints/ready": { subsets: [{ addresses: [{ ip: "10.0.0.1" }] }] },
    "/api/v1/namespaces/default/endpoints/empty": { subsets: [{ notReadyAddresses: [{ ip: "10.0.0.1" }] }] },
  });
  t.strictSame(deadBackends, [
    {
      kind: "ValidatingWebhookConfiguration",
      name: "policy/empty",
      reason: "the service default/empty has no ready endpoint",
    },
    {
      kind: "ValidatingWebhookConfiguration",
      name: "policy/absent",
      reason: "the service default/absent does not exist",
    },
    {
      kind: "MutatingWebhookConfiguration",
      name: "defaults/empty",
      reason: "the service default/empty has no ready endpoint",
    },
  ]);
});

t.test(
  "an APIService is reported as dead if its service is unavailable, but a local APIService is never reported",
  async (t) => {
    const service = (name: string, conditions?: readonly unknown[]): unknown => ({
      metadata: { name },
      spec: { service: { namespace: "kube-system", name: "metrics-server" } },
      status: { conditions },
    });
    const condition = (status: string, message?: string) => ({ type: "Available", status, message });
    const { deadBackends } = await inspected({
      [apiServices]: {
        items: [
          { metadata: { name: "v1.apps" }, spec: {} },
          service("v1beta1.metrics.k8s.io", [condition("True")]),
          service("v1beta1.custom.metrics.k8s.io", [condition("False", "no endpoints")]),
          service("v1beta1.external.metrics.k8s.io"),
        ],
      },
    });
    t.strictSame(deadBackends, [
      { kind: "APIService", name: "v1beta1.custom.metrics.k8s.io", reason: "no endpoints" },
      { kind: "APIService", name: "v1beta1.external.metrics.k8s.io", reason: "it is not available" },
    ]);
  },
);
