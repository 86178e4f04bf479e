import t from "tap";

import { findOutside } from "../../../../client/cluster-ca/outside.ts";
import { createClusterAuthority, issueForCluster } from "../../../../client/pki/cluster/issue.ts";
import { objectApi } from "../../../fakes/object-api.ts";
import { never } from "../../../fixtures/machine.ts";

const settings = { algorithm: "ecdsa", days: 100 } as const;
const create = () => createClusterAuthority("cluster", settings, new Date());
const [old, next, other] = [await create(), await create(), await create()];
const since = new Date("2026-01-31T12:00:00Z");
const options = { old, next, since, signal: never };

const encode = (text: string) => Buffer.from(text).toString("base64");
const issue = async (authority: typeof old) => {
  const cluster = { controllers: [], publicAddress: "203.0.113.10", serviceCidr: "10.32.0.0/24" };
  const request = { ...settings, days: 10, name: "admin", cluster, extraNames: [] } as const;
  return (await issueForCluster(authority, request, { now: new Date(), daysField: "days" })).certificate;
};

t.test("the list has the workloads whose pods started before new pods received both CAs", async (t) => {
  const server = objectApi();
  const volumeMounts = [{ mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }];
  const pod = (name: string, creationTimestamp: string, extra: object = {}) => ({
    metadata: { name, creationTimestamp },
    spec: { containers: [{ volumeMounts }] },
    ...extra,
  });
  const early = "2026-01-31T11:00:00Z";
  server.lists.set("/api/v1/pods", [
    pod("early", early),
    pod("late", "2026-01-31T12:00:01Z"),
    pod("ended", early, { status: { phase: "Succeeded" } }),
    pod("without", early, { spec: { containers: [{}] } }),
  ]);
  server.lists.set("/api/v1/nodes", [{ metadata: { name: "worker-0" } }]);
  const { workloads, nodes } = await findOutside(server.api, options);
  t.strictSame(nodes, ["worker-0"]);
  t.match(workloads, [{ kind: "Pod", name: "early", pods: 1, why: "started before 2026-01-31T12:00:00.000Z" }]);
});

t.test("signing requests are listed if the old CA signed the requested certificate", async (t) => {
  const server = objectApi();
  server.lists.set("/apis/certificates.k8s.io/v1/certificatesigningrequests", [
    { metadata: { name: "of-old" }, status: { certificate: encode(await issue(old)) } },
    { metadata: { name: "of-new" }, status: { certificate: encode(await issue(next)) } },
    { metadata: { name: "open" }, status: {} },
  ]);
  t.strictSame((await findOutside(server.api, options)).requests, ["of-old"]);
});

t.test("webhooks, API services and cluster-info are listed if they contain the old CA", async (t) => {
  const server = objectApi();
  const webhook = (caBundle: string) => ({ clientConfig: { caBundle: encode(caBundle) } });
  server.lists.set("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", [
    { metadata: { name: "both" }, webhooks: [webhook(old.certificate + next.certificate)] },
    { metadata: { name: "mixed" }, webhooks: [webhook(next.certificate), webhook(old.certificate)] },
    { metadata: { name: "own" }, webhooks: [webhook(other.certificate)] },
  ]);
  server.lists.set("/apis/apiregistration.k8s.io/v1/apiservices", [
    { metadata: { name: "v1.metrics" }, spec: { caBundle: encode(old.certificate) } },
    { metadata: { name: "v1." }, spec: {} },
  ]);
  const kubeconfig = `clusters:\n- cluster:\n    certificate-authority-data: ${encode(old.certificate)}\n`;
  server.objects.set("/api/v1/namespaces/kube-public/configmaps/cluster-info", { data: { kubeconfig } });
  t.strictSame((await findOutside(server.api, options)).objects, [
    { name: "ValidatingWebhookConfiguration both", hasNew: true },
    { name: "ValidatingWebhookConfiguration mixed", hasNew: false },
    { name: "APIService v1.metrics", hasNew: false },
    { name: "ConfigMap kube-public/cluster-info", hasNew: false },
  ]);
});
