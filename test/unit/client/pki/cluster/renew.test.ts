import { createPublicKey, X509Certificate } from "node:crypto";
import t from "tap";
import { kubeconfigIn } from "../../../../../client/pki/check/kubeconfig.ts";
import { collect } from "../../../../../client/pki/check/problem.ts";
import { type ClusterPki, createMissing } from "../../../../../client/pki/cluster/create.ts";
import { renewLeaves } from "../../../../../client/pki/cluster/renew.ts";
import { withNewIdentity } from "../../../../../client/pki/cluster/renew-kubeconfig.ts";
import { onControllers, presentNames } from "../../../../../client/pki/cluster/rollable.ts";
import { splitPublicKeys } from "../../../../../client/pki/token-keys.ts";
import { newTokenKeys } from "../../../../fakes/token-cluster.ts";

const controllers = [{ name: "controller-0", internalIp: "10.240.0.10" }];
const pki: ClusterPki = {
  clusterName: "kubernetes",
  cluster: { controllers, publicAddress: "203.0.113.10", serviceCidr: "10.32.0.0/24" },
  algorithm: "ecdsa",
  days: 365,
  caDays: 1825,
  extraNames: ["api.example.com"],
  workers: [],
  encryptionProvider: "aescbc",
  separateSigningCa: false,
  separateEtcdCa: false,
  aggregation: false,
};
const now = new Date();
const present = new Map(Object.entries(await createMissing(new Map(), pki, now)));

t.test(
  "a renewed certificate and its new key are written to the matching kubeconfig, and other files are unchanged",
  async (t) => {
    const files = await renewLeaves(present, ["kube-scheduler"], { pki, now });
    t.strictSame(Object.keys(files).sort(), [
      "kube-scheduler-key.pem",
      "kube-scheduler.kubeconfig",
      "kube-scheduler.pem",
    ]);
    t.not(files["kube-scheduler-key.pem"], present.get("kube-scheduler-key.pem"));
    const { result } = collect(kubeconfigIn("", Buffer.from(files["kube-scheduler.kubeconfig"] ?? "")));
    t.equal(result?.certificate.toString(), files["kube-scheduler.pem"]);
    t.equal(result?.key.toString(), files["kube-scheduler-key.pem"]);
    t.strictSame(onControllers(files), ["kube-scheduler.kubeconfig"]);
  },
);

t.test("the service account key is kept when its certificate is renewed, so tokens stay valid", async (t) => {
  const files = await renewLeaves(present, ["service-account"], { pki, now });
  t.equal(files["service-account-key.pem"], present.get("service-account-key.pem"));
  const pem = files["service-account.pem"] ?? "";
  t.not(pem, present.get("service-account.pem"));
  t.ok(new X509Certificate(pem).publicKey.equals(createPublicKey(present.get("service-account-key.pem") ?? "")));
});

t.test("other public keys in service-account.pem are kept, so tokens signed with them stay valid", async (t) => {
  const { publicKey } = newTokenKeys();
  const several = new Map([...present, ["service-account.pem", `${present.get("service-account.pem")}${publicKey}`]]);
  const { "service-account.pem": pem = "" } = await renewLeaves(several, ["service-account"], { pki, now });
  const [first, other, ...more] = splitPublicKeys(pem);
  t.ok(first?.key.equals(createPublicKey(present.get("service-account-key.pem") ?? "")));
  t.ok(other?.key.equals(createPublicKey(publicKey)));
  t.strictSame(more, [], "the renewed certificate replaces the earlier certificate");
});

t.test("a renewed API server certificate keeps all of its names", async (t) => {
  const files = await renewLeaves(present, ["kubernetes"], { pki: { ...pki, extraNames: ["more.example.com"] }, now });
  const names = presentNames(new Map(Object.entries(files)));
  t.strictSame(
    names.filter((name) => name.endsWith("example.com")),
    ["more.example.com", "api.example.com"],
  );
  t.equal(new Set(names).size, names.length, "each name is listed once");
  t.ok(presentNames(present).includes("api.example.com") && presentNames(present).includes("203.0.113.10"));
  t.strictSame(presentNames(new Map()), []);
  t.strictSame(presentNames(new Map([["kubernetes.pem", "no certificate"]])), []);
});

const own = `# mine
apiVersion: v1
kind: Config
current-context: prod
clusters:
  - name: prod
    cluster: {server: "https://api.example.com:6443", certificate-authority-data: Q0E=}
contexts:
  - name: other
    context: {cluster: prod, user: jane}
  - name: prod # the one
    context: {cluster: prod, user: admin}
users:
  - name: jane
    user: {token: hers}
  - name: admin
    user:
      client-certificate-data: b2xk
      client-key-data: b2xk
`;

t.test("in the user's own kubeconfig, only the current user's certificate and key are replaced", async (t) => {
  const text = withNewIdentity(own, { certificate: "new certificate", key: "new key" }) ?? "";
  const base64 = (content: string): string => Buffer.from(content).toString("base64");
  t.match(text, `client-certificate-data: ${base64("new certificate")}\n`);
  t.match(text, `client-key-data: ${base64("new key")}\n`);
  t.match(text, /^# mine\n/);
  t.match(text, /name: prod # the one\n/);
  t.match(text, /server: "?https:\/\/api\.example\.com:6443/);
  t.match(text, /token: hers/);
  t.notMatch(text, "b2xk");
});

t.test("a kubeconfig without an embedded certificate cannot be renewed", async (t) => {
  const identity = { certificate: "c", key: "k" };
  t.equal(withNewIdentity(own.replace("current-context: prod", "current-context: other"), identity), undefined);
  t.equal(withNewIdentity(own.replace("current-context: prod", "current-context: gone"), identity), undefined);
  t.equal(withNewIdentity("}", identity), undefined);
  t.equal(withNewIdentity("a: 1", identity), undefined);
});
