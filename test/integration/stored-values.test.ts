import { once } from "node:events";
import { createServer } from "node:https";
import { json } from "node:stream/consumers";
import t, { type Test } from "tap";
import { countStoredValues } from "../../agent/etcd/stored-values.ts";
import { fieldOf, textAt } from "../../client/pki/check/yaml.ts";
import { createAuthority, issue } from "../../client/pki/management/issue.ts";
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

/** Starts a server that answers range requests like etcd's gateway. */
async function startEtcd(t: Test, values: Readonly<Record<string, string>>) {
  const pages: number[] = [];
  const keys = Object.keys(values).sort();
  const options = { cert: server.certificate, key: server.key, ca: authority.certificate, requestCert: true };
  const listener = createServer({ ...options, rejectUnauthorized: true }, (request, response) => {
    const respond = async (): Promise<void> => {
      const range: unknown = await json(request);
      const bound = (name: string): string => Buffer.from(textAt(range, name) ?? "", "base64").toString("utf8");
      const found = keys.filter((key) => key >= bound("key") && key < bound("range_end"));
      const page = found.slice(0, Number(fieldOf(range, "limit")));
      pages.push(page.length);
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
  return { url: `https://localhost:${port}`, pages };
}

t.test("values are counted by resource and key, over all pages, only below the prefix", async (t) => {
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

t.test("a server that does not answer is skipped; if no server answers, the error says so", async (t) => {
  const { url } = await startEtcd(t, { "/registry/secrets/default/a": "x" });
  const away = "https://127.0.0.1:1";
  const options = { files, prefix: "/registry/", signal: never };
  t.match(await countStoredValues({ ...options, servers: [away, url] }), [{ resource: "secrets", count: 1 }]);
  await t.rejects(countStoredValues({ ...options, servers: [away] }), { code: "NOT_READY", message: /127\.0\.0\.1:1/ });
  await t.rejects(countStoredValues({ ...options, servers: [] }), { code: "NOT_READY", message: /no desired state/ });
});
