import { once } from "node:events";
import { createServer } from "node:https";
import { json } from "node:stream/consumers";
import t, { type Test } from "tap";
import { countStoredValues, countStoredVersions } from "../../agent/etcd/stored-values.ts";
import { fieldOf, textAt } from "../../client/pki/check/yaml.ts";
import { createAuthority, issue } from "../../client/pki/management/issue.ts";
import { credentials, status } from "@grpc/grpc-js";
import { EncryptionServiceClient } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { failure, open } from "../fixtures/agent-calls.ts";
import { never } from "../fixtures/machine.ts";

const now = new Date();
const authority = await createAuthority(now);
const server = await issue(authority, { name: "localhost", role: "agent", days: 1 }, now);
const own = await issue(authority, { name: "kubernetes", role: "admin", days: 1 }, now);
const contents: Readonly<Record<string, string>> = {
  "/var/lib/kubernetes/ca.pem": authority.certificate,
  "/var/lib/kubernetes/kubernetes.pem": own.certificate,
  "/var/lib/kubernetes/kubernetes-key.pem": own.key,
};
const files = {
  read: async (path: string) => {
    const content = contents[path];
    return content === undefined ? undefined : Buffer.from(content);
  },
};

/** Starts a server that answers range requests as etcd's gateway does. */
async function startEtcd(t: Test, values: Readonly<Record<string, string>>) {
  const pages: number[] = [];
  const read: string[] = [];
  const keys = Object.keys(values).sort();
  const options = { cert: server.certificate, key: server.key, ca: authority.certificate, requestCert: true };
  const listener = createServer({ ...options, rejectUnauthorized: true }, (request, response) => {
    const respond = async (): Promise<void> => {
      const range: unknown = await json(request);
      const bound = (name: string): string => Buffer.from(textAt(range, name) ?? "", "base64").toString("utf8");
      const found = keys.filter((key) => key >= bound("key") && key < bound("range_end"));
      const page = found.slice(0, Number(fieldOf(range, "limit")));
      pages.push(page.length);
      read.push(...page);
      const kvs = page.map((key) => ({
        key: Buffer.from(key).toString("base64"),
        value: Buffer.from(values[key] ?? "").toString("base64"),
      }));
      response.end(JSON.stringify({ kvs, more: found.length > page.length }));
    };
    respond().catch((error: Error) => response.destroy(error));
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.teardown(() => listener.close());
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `https://localhost:${port}`, pages, read };
}

t.test("stored values under the prefix are counted by resource and key across all pages", async (t) => {
  const secrets = Array.from({ length: 60 }, (_, index) => [
    `/registry/secrets/default/s${index}`,
    "k8s:enc:aescbc:v1:key1:x",
  ]);
  const { url, pages } = await startEtcd(t, {
    ...Object.fromEntries(secrets),
    "/registry/secrets/default/plain": "k8s\0v1Secret",
    "/registry/secrets/kube-system/new": "k8s:enc:secretbox:v1:key-20260131T120000Z:x",
    "/registry/configmaps/default/a": "k8s\0",
    "/registry/example.com/widgets/default/a": '{"apiVersion":"k8s:enc:aescbc:v1:not-at-the-beginning:"}',
    "/registry/services/specs/default/kubernetes": "k8s:enc:kms:v1:plugin:x",
    "/registry-of-another/secrets/default/a": "k8s:enc:aescbc:v1:other:x",
    "/khw/restart/kube-apiserver": "controller-0",
  });
  const groups = await countStoredValues({ servers: [url], files, prefix: "/registry", signal: never });
  const told = groups.map(({ resource, provider, key, count }) => `${resource}: ${count} by "${provider}" ${key}`);
  t.strictSame(
    new Set(told),
    new Set([
      'configmaps: 1 by "" ',
      'example.com/widgets: 1 by "" ',
      'secrets: 1 by "" ',
      'secrets: 60 by "aescbc" key1',
      'secrets: 1 by "secretbox" key-20260131T120000Z',
      'services/specs: 1 by "kms" plugin',
    ]),
  );
  t.strictSame(pages, [25, 25, 15]);
});

t.test("the count skips etcd servers that do not respond, and fails only if no server responds", async (t) => {
  const { url } = await startEtcd(t, { "/registry/secrets/default/a": "x" });
  const away = "https://127.0.0.1:1";
  const options = { files, prefix: "/registry/", signal: never };
  t.match(await countStoredValues({ ...options, servers: [away, url] }), [{ resource: "secrets", count: 1 }]);
  await t.rejects(countStoredValues({ ...options, servers: [away] }), { code: "NOT_READY", message: /127\.0\.0\.1:1/ });
  await t.rejects(countStoredValues({ ...options, servers: [] }), { code: "NOT_READY", message: /no desired state/ });
});

/** Returns a value as Kubernetes stores it in protobuf: the prefix, and an Unknown with a TypeMeta. */
function protobufValue(apiVersion: string, kind: string): string {
  const field = (tag: number, text: string): string => String.fromCharCode(tag, text.length) + text;
  return `k8s\0${field(0x0a, field(0x0a, apiVersion) + field(0x12, kind))}${field(0x12, "the object")}`;
}

t.test("the count of stored versions covers all pages and includes example names", async (t) => {
  const old = Array.from({ length: 30 }, (_, index) => [
    `/registry/cronjobs/default/old${String(index).padStart(2, "0")}`,
    protobufValue("batch/v2alpha1", "CronJob"),
  ]);
  const { url, pages, read } = await startEtcd(t, {
    ...Object.fromEntries(old),
    "/registry/cronjobs/jobs/new": protobufValue("batch/v1beta1", "CronJob"),
    "/registry/cronjobs/jobs/text": '{"kind":"CronJob","apiVersion":"batch/v2alpha1"}',
    "/registry/cronjobs/jobs/secret": "k8s:enc:aescbc:v1:key1:x",
    "/registry/cronjobs/jobs/damaged": "k8s\0\u000a\u007f",
    "/registry/flowschemas/exempt": protobufValue("flowcontrol.apiserver.k8s.io/v1alpha1", "FlowSchema"),
    "/registry/cronjobs.example.com/other/a": protobufValue("example.com/v1", "CronJob"),
    "/registry/secrets/default/a": protobufValue("v1", "Secret"),
  });
  const options = { servers: [url], files, prefix: "/registry", signal: never };
  const versions = await countStoredVersions(["cronjobs", "flowschemas", "workloads"], options);
  const base = { resource: "cronjobs", apiVersion: "batch/v2alpha1", kind: "CronJob", encrypted: false };
  t.strictSame(versions, [
    { ...base, count: 31, examples: ["default/old00", "default/old01", "default/old02"] },
    { ...base, apiVersion: "", kind: "", count: 1, examples: ["jobs/damaged"] },
    { ...base, apiVersion: "batch/v1beta1", count: 1, examples: ["jobs/new"] },
    { ...base, apiVersion: "", kind: "", encrypted: true, count: 1, examples: ["jobs/secret"] },
    {
      ...base,
      resource: "flowschemas",
      apiVersion: "flowcontrol.apiserver.k8s.io/v1alpha1",
      kind: "FlowSchema",
      count: 1,
      examples: ["exempt"],
    },
  ]);
  t.strictSame(pages, [25, 9, 1, 0]);
  t.notOk(read.some((key) => /secrets|example\.com/.test(key)));
});

t.test("the call is limited to administrators and accepts only resource names", async (t) => {
  const { agent } = await open(t);
  const refused = async (role: "admin" | "viewer", resources: string[]) => {
    const { key, certificate } = await agent.identity(role, "alice");
    const channel = credentials.createSsl(
      Buffer.from(agent.authority.certificate),
      Buffer.from(key),
      Buffer.from(certificate),
    );
    const client = new EncryptionServiceClient(`127.0.0.1:${agent.port}`, channel, {
      "grpc.ssl_target_name_override": "controller-0",
    });
    try {
      return await failure((done) => client.countStoredVersions({ resources }, done));
    } finally {
      client.close();
    }
  };
  t.match(await refused("viewer", ["cronjobs"]), { code: status.PERMISSION_DENIED });
  for (const resource of ["", "/", "../secrets", "a/b/c", "Secrets", "a\n", "cronjobs/"]) {
    t.match(await refused("admin", [resource]), { khw: { code: "INVALID_ARGUMENT" } }, JSON.stringify(resource));
  }
  t.match(
    await refused(
      "admin",
      Array.from({ length: 101 }, (_, index) => `r${index}`),
    ),
    {
      khw: { code: "INVALID_ARGUMENT", message: /more than 100/ },
    },
  );
  t.match(await refused("admin", ["cronjobs"]), { khw: { code: "NOT_READY", message: /no desired state/ } });
});
