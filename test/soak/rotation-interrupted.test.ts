/**
 * Replaces a cluster's keys and certificates, and continues a replacement that was interrupted. Checks that a
 * replacement that cannot succeed is refused.
 */
import { copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { makeSecrets, readSecrets } from "../fixtures/secrets-kept.ts";
import { namesOf, servedCertificate } from "../fixtures/served.ts";
import { storedKeys, storedSecret } from "../fixtures/stored-keys.ts";

const all = ["--nodes", "controller-0"];
const numbers = [0, 1, 2, 3, 4, 5];

t.test("key rotation and certificate renewal work on a single-node control plane", async (t) => {
  await using scene = await openScene(1);
  const { testbed, workstation, bootstrap, node, start } = scene;
  const file = join(testbed.credentials, "encryption-config.yaml");
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  await makeSecrets(workstation, numbers.length);

  await scenario(
    t,
    "if encryption rotate is killed while it distributes the new key, the next run completes the rotation",
    async (t) => {
      const killed = start("encryption", "rotate", ...all);
      await killed.said(/service\/kube-apiserver: its inputs have changed/);
      killed.kill();
      await killed.ended;
      t.equal(
        (await readFile(file, "utf8")).match(/name: /g)?.length,
        2,
        "the file has both the new key and the old key",
      );
      t.strictSame(await storedKeys(node(0)), ["aescbc:v1:key1"], "the old key still encrypts every value");

      const { code, stdout, stderr } = await workstation.khw(["encryption", "rotate", ...all]);
      t.equal(code, 0, stdout + stderr);
      t.match(stdout, /^a rotation is already in progress; this run continues it$/m);
      t.match(stdout, /^there is no other API server/m, "the output says that there is no other API server");
      t.match(stdout, /^done: \d+ secrets encrypted with aescbc key-\w+; no other key is in use$/m);
      const [key = "", ...others] = await storedKeys(node(0));
      t.match(key, /^aescbc:v1:key-\d{8}T\d{6}Z$/);
      t.strictSame(others, []);
      t.match(await storedSecret(node(0), "secret-3"), new RegExp(`^k8s:enc:${key}:`));
      t.strictSame(await readSecrets(workstation), numbers);
      const status = await workstation.mustKhw(["encryption", "status", ...all]);
      t.match(status, new RegExp(`secrets +${key.replace(":v1:", " ")} +\\d+`));
      t.match(status, /^no rotation is in progress$/m);
    },
  );

  await scenario(t, "an outdated encryption-config.yaml is refused before any change", async (t) => {
    const backups = (await readdir(testbed.credentials)).filter((name) => name.startsWith("replaced-")).toSorted();
    t.equal(backups.length, 3, "a backup of each version of the file is kept");
    const current = await readFile(file, "utf8");
    await copyFile(join(testbed.credentials, backups[0] ?? "", "encryption-config.yaml"), file);
    const refused = await workstation.khw(["encryption", "rotate", ...all]);
    failsWith(t, refused, "KEY_MISSING", [
      /this encryption-config.yaml has no key for values in etcd: \d+ secrets encrypted with aescbc key-/,
    ]);
    await writeFile(file, current);
    t.equal((await workstation.khw(["plan", ...all])).code, 0, "the nodes still use the current file");
  });

  await scenario(
    t,
    "renewing one certificate keeps its names and restarts only the components that use the certificate",
    async (t) => {
      const before = await servedCertificate(testbed, node(0));
      const refused = await workstation.khw(["pki", "renew", "ca", ...all]);
      failsWith(t, refused, "INVALID_ARGUMENT", [/ca is a CA/]);
      const { code, stdout, stderr } = await workstation.khw(["pki", "renew", "kubernetes", ...all]);
      t.equal(code, 0, stdout + stderr);
      t.match(stdout, /^kubernetes.pem is reissued: CN=kubernetes, O=Kubernetes, valid until \d{4}-/m);
      t.notMatch(
        stdout,
        /kube-scheduler: .*restart|service\/kube-scheduler: its inputs/,
        "the scheduler, which does not use the certificate, is not restarted",
      );
      const after = await servedCertificate(testbed, node(0));
      t.not(after.serialNumber, before.serialNumber);
      t.strictSame(
        namesOf(before).filter((name) => !namesOf(after).includes(name)),
        [],
        "the new certificate keeps the names of the earlier certificate",
      );
      t.strictSame(await readSecrets(workstation), numbers);
    },
  );
});
