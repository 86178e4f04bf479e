/** Interrupts rotations at every possible point, in a cluster that reads and writes continuously. */
import t, { type Test } from "tap";

import { parseEncryptionConfig } from "../../../../client/encryption/config.ts";
import { rotate } from "../../../../client/encryption/rotate.ts";
import { writingKey } from "../../../../client/pki/encryption/stage.ts";
import { encryptedCluster } from "../../../fakes/encrypted-cluster.ts";

const secret = Buffer.alloc(32, 7).toString("base64");
const now = new Date("2026-01-31T12:00:00Z");
const later = new Date("2026-02-28T12:00:00Z");

function config(...providers: readonly string[]): string {
  const lines = [
    "kind: EncryptionConfig",
    "apiVersion: v1",
    "resources:",
    "  - resources: [secrets]",
    "    providers:",
  ];
  return [...lines, ...providers.map((provider) => `      - ${provider}`), ""].join("\n");
}

function keys(kind: string, ...names: readonly string[]): string {
  return `${kind}: {keys: [${names.map((name) => `{name: ${name}, secret: ${secret}}`).join(", ")}]}`;
}

const starts = {
  "the lab's": config(keys("aescbc", "key1"), "identity: {}"),
  "without a provider that reads unencrypted values": config(keys("secretbox", "key1")),
  "with several keys": config(keys("aesgcm", "b", "a"), keys("secretbox", "old"), "identity: {}"),
  "without encryption, but with a key for reading": config("identity: {}", keys("aescbc", "key1")),
  unencrypted: config("identity: {}"),
};

for (const [what, start] of Object.entries(starts)) {
  t.test(`a key rotation that is killed at any point can be completed (configuration: ${what})`, async (t) => {
    const whole = encryptedCluster(start);
    await rotate(whole.parts(), { now });
    checkEnd(t, whole, "key-20260131T120000Z");
    t.comment(`${whole.log.length} actions`);

    for (let action = 0; action < whole.log.length; action++) {
      const cluster = encryptedCluster(start);
      await t.rejects(
        rotate(cluster.parts(action), { now }),
        { name: "Killed" },
        `the rotation fails because it was killed before action ${action}`,
      );
      await rotate(cluster.parts(), { now: later });
      const [entry] = parseEncryptionConfig(cluster.file).entries;
      checkEnd(t, cluster, writingKey(entry?.providers ?? [])?.name ?? "none");
    }
  });
}

function checkEnd(t: Test, { file, nodes, values }: ReturnType<typeof encryptedCluster>, key: string): void {
  const [entry] = parseEncryptionConfig(file).entries;
  t.ok(
    nodes.every((node) => node === file),
    "every API server uses the new file",
  );
  t.match(key, /^key-2026/);
  t.equal(new Set(values).size, 1, "all values are stored the same way");
  t.match(values[0], new RegExp(` ${key}$`));
  t.equal(
    entry?.providers.flatMap((provider) => ("keys" in provider ? provider.keys : [])).length,
    1,
    "one key remains",
  );
}

t.test("a rotation that stopped in its last rollout is completed, and no further key is created", async (t) => {
  const whole = encryptedCluster(starts["the lab's"]);
  await rotate(whole.parts(), { now });
  for (const fromEnd of [1, 2, 3]) {
    const cluster = encryptedCluster(starts["the lab's"]);
    await t.rejects(rotate(cluster.parts(whole.log.length - fromEnd), { now }), { name: "Killed" });
    await rotate(cluster.parts(), { now: later });
    checkEnd(t, cluster, "key-20260131T120000Z");
  }
});

t.test("if only an API server restart is missing, repeating the command completes the rotation", async (t) => {
  const cluster = encryptedCluster(starts["the lab's"]);
  await rotate(cluster.parts(), { now });
  const end = cluster.log.length;
  const differing = (...steps: readonly string[]) => ({
    ...cluster.parts(),
    differences: async () => steps.map((step) => ({ node: "controller-0", step, what: "differs" })),
  });
  await t.rejects(rotate(differing("unit/kube-apiserver", "service/kube-apiserver"), { now: later }), {
    code: "NODES_DIFFER",
  });
  t.equal(cluster.log.length, end, "nothing changes if another step differs");
  await rotate(differing("service/kube-apiserver", "ready/kube-apiserver"), { now: later });
  t.strictSame(cluster.log.slice(end), ["controller-0", "controller-1", "controller-2"], "only a rollout");
  checkEnd(t, cluster, "key-20260131T120000Z");
});

t.test("even a key whose name contains a future date is replaced by a newer key", async (t) => {
  const cluster = encryptedCluster(config(keys("aescbc", "key-20260601T235959Z"), "identity: {}"));
  await rotate(cluster.parts(), { now });
  checkEnd(t, cluster, "key-20260602T000000Z");
});

t.test("resources matched by a wildcard are rewritten even if they cannot be counted", async (t) => {
  const everything = config("identity: {}", keys("aescbc", "key1")).replace("[secrets]", '["*.*"]');
  for (const resource of ["secrets", "configmaps"]) {
    const cluster = encryptedCluster(everything);
    const parts = cluster.parts();
    const stored = async () => (await parts.stored()).map((values) => ({ ...values, resource }));
    await rotate({ ...parts, stored }, { now });
    checkEnd(t, cluster, "key-20260131T120000Z");
  }
});

t.test("if etcd contains no encrypted values after the rotation, a message says so", async (t) => {
  const notes: string[] = [];
  const parts = { ...encryptedCluster(starts.unencrypted).parts(), stored: async () => [] };
  await rotate({ ...parts, note: (text) => void notes.push(text) }, { now });
  t.equal(notes.at(-1), "done: etcd has no encrypted values yet; no other key is in use");
});

t.test("a file that lacks a key used in etcd is refused, and nothing changes", async (t) => {
  const cluster = encryptedCluster(config(keys("aescbc", "key1"), "identity: {}"));
  cluster.file = config(keys("aescbc", "key0"), "identity: {}");
  await t.rejects(rotate(cluster.parts(), { now }), {
    code: "KEY_MISSING",
    message: "this encryption-config.yaml has no key for values in etcd: 1 secrets encrypted with aescbc key1",
  });
  t.strictSame(cluster.log, []);
});

t.test("a rotation does not start if a node's file differs for any reason other than a rotation", async (t) => {
  const cluster = encryptedCluster(config(keys("aescbc", "key1"), "identity: {}"));
  cluster.file = config(keys("aescbc", "key2", "key1"), "identity: {}");
  await t.rejects(rotate(cluster.parts(), { now }), {
    code: "NODES_DIFFER",
    node: "controller-0",
    hint: /khw-client bootstrap/,
  });
  t.strictSame(cluster.log, []);
});

t.test("old keys are kept as long as etcd contains values encrypted with them", async (t) => {
  const cluster = encryptedCluster(starts["the lab's"]);
  const parts = { ...cluster.parts(), rewrite: async () => {} };
  await t.rejects(rotate(parts, { now }), { code: "VERIFY_FAILED", message: /1 secrets encrypted with aescbc key1/ });
  t.match(cluster.file, "name: key1");
});

t.test("an old key can be replaced by a key of a different provider", async (t) => {
  const cluster = encryptedCluster(starts["the lab's"]);
  await rotate(cluster.parts(), { now, kind: "secretbox" });
  t.strictSame(new Set(cluster.values), new Set(["secretbox key-20260131T120000Z"]));
  t.notMatch(cluster.file, "aescbc");
});
