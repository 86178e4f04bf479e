import t from "tap";

import { forgetOldCa, waitUntilPublished } from "../../../../client/cluster-ca/published.ts";
import { createClusterAuthority } from "../../../../client/pki/cluster/issue.ts";
import { fieldOf } from "../../../../client/pki/check/yaml.ts";
import { objectApi } from "../../../fakes/object-api.ts";
import { never } from "../../../fixtures/machine.ts";

const create = async () =>
  (await createClusterAuthority("cluster", { algorithm: "ecdsa", days: 100 }, new Date())).certificate;
const [old, next, signing] = [await create(), await create(), await create()];
const trustMap = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

t.test("the old CA is removed from the ConfigMap, and everything else is kept", async (t) => {
  const server = objectApi();
  const data = { "client-ca-file": old + next + signing, "requestheader-client-ca-file": old };
  server.objects.set(trustMap, { metadata: { resourceVersion: "7" }, data });
  server.conflicts = 2;
  t.equal(await forgetOldCa(server.api, old, never), true);
  t.strictSame(server.objects.get(trustMap), {
    metadata: { resourceVersion: "7" },
    data: { ...data, "client-ca-file": next + signing },
  });
  t.equal(await forgetOldCa(server.api, old, never), false, "a second run makes no changes");
});

t.test("a missing ConfigMap needs no change, and a persistent update conflict causes an error", async (t) => {
  const server = objectApi();
  t.equal(await forgetOldCa(server.api, old, never), false);
  server.objects.set(trustMap, { data: { "client-ca-file": old } });
  server.conflicts = 100;
  await t.rejects(forgetOldCa(server.api, old, never), { code: "VERIFY_FAILED", message: /status 409/ });
});

t.test("the wait ends when every ConfigMap and every Secret has exactly the expected CAs", async (t) => {
  const server = objectApi();
  const map = (name: string, ca: string) => ({ metadata: { name }, data: { "ca.crt": ca } });
  const secret = (ca: string) => ({
    metadata: { name: "token" },
    data: { "ca.crt": Buffer.from(ca).toString("base64") },
  });
  server.lists.set("/api/v1/configmaps", [map("kube-root-ca.crt", next + old)]);
  server.lists.set("/api/v1/secrets", [secret(old + next), { metadata: { name: "empty" }, data: {} }]);
  await waitUntilPublished(server.api, old + next, never);
  const gone = new AbortController();
  let asked = 0;
  const watching: typeof server.api = async (method, path, rest) => {
    // The controller manager updates the Secret after a few checks.
    if (++asked === 6) server.lists.set("/api/v1/secrets", [secret(next)]);
    return server.api(method, path, rest);
  };
  server.lists.set("/api/v1/configmaps", [map("kube-root-ca.crt", next)]);
  await waitUntilPublished(watching, next, gone.signal);
  t.equal(asked, 6);
  t.ok(fieldOf(server.lists.get("/api/v1/secrets")?.[0], "data"));
});
