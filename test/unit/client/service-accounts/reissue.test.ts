import { createPublicKey } from "node:crypto";
import t, { type Test } from "tap";

import { deleteReplaced, reissueTokens, secretName } from "../../../../client/service-accounts/reissue.ts";
import { findUses } from "../../../../client/service-accounts/uses.ts";
import { newTokenKeys } from "../../../fakes/token-cluster.ts";
import { encodeToken, signToken, tokenApi, type TokenApi } from "../../../fakes/token-api.ts";

const [old, next] = [newTokenKeys(), newTokenKeys()];
const newKey = createPublicKey(next.privateKey);
const { signal } = new AbortController();
const signingSince = new Date("2026-01-31T12:00:00Z");
const newName = secretName("default", newKey);
const secretPath = (name: string): string => `/api/v1/namespaces/shop/secrets/${name}`;
const accountPath = "/api/v1/namespaces/shop/serviceaccounts/default";

async function scene(): Promise<TokenApi> {
  const server = tokenApi(next.privateKey);
  const put = async (name: string, key: string): Promise<void> => {
    const annotations = { "kubernetes.io/service-account.name": "default" };
    const data = encodeToken(await signToken(key));
    server.objects.set(secretPath(name), { metadata: { name, namespace: "shop", annotations }, data });
  };
  await put("old", old.privateKey);
  await put("manual", old.privateKey);
  await put("fresh", next.privateKey);
  const metadata = { name: "default", namespace: "shop", resourceVersion: "1" };
  server.objects.set(accountPath, { metadata, secrets: [{ name: "old" }, { name: "registry" }], extra: true });
  return server;
}

function pod(name: string, spec: object, metadata: object = {}): Parameters<Map<string, never>["set"]>[0] {
  return JSON.stringify({ metadata: { name, namespace: "shop", ...metadata }, spec });
}

function addPod({ objects }: TokenApi, text: string): void {
  const object = JSON.parse(text);
  objects.set(`/api/v1/namespaces/shop/pods/${object.metadata.name}`, object);
}

const projected = { volumes: [{ projected: { sources: [{ serviceAccountToken: {} }] } }] };
const mounts = (secretName: string): object => ({ volumes: [{ secret: { secretName } }] });

t.test("Secrets with a token signed with the old key are found, and so are pods that may use old tokens", async (t) => {
  const server = await scene();
  const before = "2026-01-31T11:59:59Z";
  const owner = { kind: "ReplicaSet", name: "web-6d4c", controller: true };
  const owned = { creationTimestamp: before, ownerReferences: [owner], labels: { "pod-template-hash": "6d4c" } };
  addPod(server, pod("web-1", projected, owned));
  addPod(server, pod("web-2", projected, owned));
  addPod(server, pod("fresh", projected, { creationTimestamp: "2026-01-31T12:00:01Z" }));
  addPod(server, pod("mounting", mounts("old"), { creationTimestamp: "2026-01-31T12:00:01Z" }));
  const env = [{ valueFrom: { secretKeyRef: { name: "manual" } } }];
  addPod(server, pod("reading", { containers: [{ env }] }, { creationTimestamp: before }));
  addPod(server, pod("other", mounts("fresh"), { creationTimestamp: before }));
  t.strictSame(await findUses(server.api, { newKey, signingSince, signal }), {
    secrets: [
      { namespace: "shop", name: "old", serviceAccount: "default", pods: 1 },
      { namespace: "shop", name: "manual", serviceAccount: "default", pods: 1 },
    ],
    workloads: [
      {
        namespace: "shop",
        kind: "Deployment",
        name: "web",
        why: "started before 2026-01-31T12:00:00.000Z",
        pods: 2,
      },
      { namespace: "shop", kind: "Pod", name: "mounting", why: "uses the Secret old", pods: 1 },
      { namespace: "shop", kind: "Pod", name: "reading", why: "uses the Secret manual", pods: 1 },
    ],
  });
});

async function reissue(t: Test, server: TokenApi): Promise<string[]> {
  const replaced: string[] = [];
  const before = async (names: readonly string[]): Promise<void> => {
    t.match(
      server.objects.get(accountPath),
      { secrets: [{ name: "old" }] },
      "the account still refers to the old Secret",
    );
    replaced.push(...names);
  };
  t.equal(await reissueTokens(server.api, { newKey, before, signal }), 1);
  return replaced;
}

t.test("a service account gets a new Secret, and the old Secret stays", async (t) => {
  const server = await scene();
  server.conflicts = 2;
  t.strictSame(new Set(await reissue(t, server)), new Set(["shop/old"]));
  t.match(server.objects.get(accountPath), { secrets: [{ name: newName }, { name: "registry" }], extra: true });
  t.ok(server.objects.has(secretPath("old")));
  t.equal(
    server.changes.filter((change) => change.startsWith("POST")).length,
    3,
    "a Secret is created once for each attempt",
  );
  server.changes.length = 0;
  t.equal(
    await reissueTokens(server.api, { newKey, before: async () => {}, signal }),
    0,
    "a second run replaces nothing",
  );
  t.strictSame(server.changes, []);
});

t.test("a conflict that persists after retries is an error", async (t) => {
  const server = await scene();
  server.conflicts = 100;
  await t.rejects(reissueTokens(server.api, { newKey, before: async () => {}, signal }), { code: "VERIFY_FAILED" });
  t.match(server.objects.get(accountPath), { secrets: [{ name: "old" }] });
});

t.test("a replaced Secret is deleted only if no pod uses it", async (t) => {
  const server = await scene();
  await reissue(t, server);
  addPod(server, pod("mounting", mounts("old"), { creationTimestamp: "2026-01-31T11:00:00Z" }));
  const options = { newKey, signingSince, signal };
  t.strictSame(await deleteReplaced(server.api, ["shop/old"], options), { deleted: [], kept: ["shop/old"] });
  server.objects.delete("/api/v1/namespaces/shop/pods/mounting");
  t.strictSame(await deleteReplaced(server.api, ["shop/old"], options), { deleted: ["shop/old"], kept: [] });
  t.notOk(server.objects.has(secretPath("old")));
  t.ok(server.objects.has(secretPath("manual")), "a Secret that the user created is not deleted");
});
