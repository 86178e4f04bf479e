/**
 * Moves a cluster to a KMS plugin and back, and interrupts the move at every point. The cluster reads and writes
 * continuously.
 */
import t from "tap";
import { parseEncryptionConfig } from "../../../../client/encryption/config.ts";
import { rotate } from "../../../../client/encryption/rotate.ts";
import { encryptedCluster } from "../../../fakes/encrypted-cluster.ts";

const secret = Buffer.alloc(32, 7).toString("base64");
const now = new Date("2026-01-31T12:00:00Z");
const kms = { name: "vault", socket: "/run/kms/socket", unit: "vault-kms.service", timeoutMillis: 3000 };
const plugin = "kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms/socket', timeout: 3000ms}";
const key = (kind: string, name: string): string => `${kind}: {keys: [{name: ${name}, secret: ${secret}}]}`;

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

function kinds(file: string): string[] {
  return parseEncryptionConfig(file).entries.flatMap(({ providers }) => providers.map(({ kind }) => kind));
}

const starts = {
  "the lab's": config(key("aescbc", "key1"), "identity: {}"),
  "without encryption": config("identity: {}"),
  "with another plugin": config("kms: {apiVersion: v1, name: old, endpoint: 'unix:///old'}", key("aescbc", "key1")),
  "with another socket": config(plugin.replace("/run/kms/socket", "/run/other"), key("aescbc", "key1")),
};

for (const [what, start] of Object.entries(starts)) {
  t.test(`a move to a KMS plugin can be completed after a kill at any point (configuration: ${what})`, async (t) => {
    const whole = encryptedCluster(start, 3, "vault");
    await rotate(whole.parts(), { kms, now });
    for (let action = 0; action < whole.log.length; action++) {
      const cluster = encryptedCluster(start, 3, "vault");
      await t.rejects(rotate(cluster.parts(action), { kms, now }), { name: "Killed" });
      await rotate(cluster.parts(), { kms, now });
      t.equal(cluster.file, whole.file, `the file is complete after a kill before action ${action}`);
      t.ok(
        cluster.nodes.every((node) => node === cluster.file),
        "every API server uses the new file",
      );
      t.strictSame([...new Set(cluster.values)], ["kms vault"]);
    }
    t.strictSame(kinds(whole.file), ["kms", ...kinds(start).filter((kind) => kind !== "kms")], "the keys stay");
    t.match(whole.file, /endpoint: unix:\/\/\/run\/kms\/socket/);
  });
}

t.test("a second run rewrites all values with the plugin's current key", async (t) => {
  const cluster = encryptedCluster(config(plugin, key("aescbc", "key1"), "identity: {}"));
  await rotate(cluster.parts(), { kms, now });
  t.ok(cluster.log.includes("rewrite"));
  t.notOk(cluster.log.includes("replace"), "the file does not change");
});

for (const existing of ["key1", "key-20250101T000000Z"]) {
  t.test(
    `a move from a KMS plugin can be completed if the client was killed at any point (key in the file: ${existing})`,
    async (t) => {
      const start = config(plugin, key("secretbox", existing), "identity: {}");
      const whole = encryptedCluster(start, 3, "vault");
      await rotate(whole.parts(), { kind: "secretbox", kms, now });
      for (let action = 0; action < whole.log.length; action++) {
        const cluster = encryptedCluster(start, 3, "vault");
        await t.rejects(rotate(cluster.parts(action), { kind: "secretbox", kms, now }), { name: "Killed" });
        await rotate(cluster.parts(), { kind: "secretbox", kms, now });
        t.strictSame(kinds(cluster.file), ["secretbox", "identity"], `killed before action ${action}`);
        t.ok(
          cluster.nodes.every((node) => node === cluster.file),
          "every API server runs with the file",
        );
        t.match([...new Set(cluster.values)], [/^secretbox key-202/]);
      }
      const done = { code: "INVALID_ARGUMENT", hint: /remove encryption\.kms/ };
      await t.rejects(
        rotate(whole.parts(), { kind: "secretbox", kms, now }),
        done,
        "a repeated move is refused, because the file no longer has a plugin",
      );
    },
  );
}

t.test("encryption.kms must name the plugin in the file until the cluster no longer uses the plugin", async (t) => {
  const other = { ...kms, name: "other" };
  const [key1, hint] = [key("secretbox", "key1"), /set encryption\.kms to vault in khw\.yaml again/];
  for (const options of [{ kind: "secretbox" }, { kms: other }, { kms: other, kind: "secretbox" }] as const) {
    const cluster = encryptedCluster(config(plugin, key1), 3, "vault");
    cluster.plugin = "kms" in options ? "other" : undefined;
    await t.rejects(rotate(cluster.parts(), { now, ...options }), { code: "NODES_DIFFER", hint });
    t.strictSame(cluster.log, [], "the plugin stays supervised");
  }
});

t.test("contradictory options and unsuitable files are refused before anything changes", async (t) => {
  const refused = async (
    file: string,
    options: object,
    expected: { readonly code: string; readonly message?: RegExp; readonly hint?: RegExp },
  ): Promise<void> => {
    const cluster = encryptedCluster(file);
    await t.rejects(rotate(cluster.parts(), { now, ...options }), expected);
    t.strictSame(cluster.log, []);
  };
  const lab = starts["the lab's"];
  await refused(lab, { kms, kind: "aescbc" }, { code: "INVALID_ARGUMENT", message: /contradicts encryption\.kms/ });
  await refused(config(plugin), {}, { code: "CREDENTIAL_INVALID", hint: /--provider secretbox/ });
  const older = plugin.replace("v2", "v1");
  await refused(config(older), { kms }, { code: "CREDENTIAL_INVALID", message: /vault: uses v1/ });
  const second = `  - {resources: [configmaps], providers: [{${key("aescbc", "key2")}}]}\n`;
  await refused(lab + second, { kms }, { code: "CREDENTIAL_INVALID", message: /resources\[0\], resources\[1\]/ });
});
