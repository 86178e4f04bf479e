/** Replaces keys and certificates while clients read Secrets and write objects through the load balancer. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { openScene, type Scene, scenario } from "../fixtures/faults.ts";
import type { Report } from "../fixtures/load.ts";
import { makeSecrets, readSecrets } from "../fixtures/secrets-kept.ts";
import { servedCertificate } from "../fixtures/served.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import { storedKeys, storedSecret } from "../fixtures/stored-keys.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1,2"];
const load = { rate: 20, reads: "/api/v1/namespaces/default/secrets/secret-7" };
const numbers = Array.from({ length: 40 }, (_, number) => number);

t.test("with three API servers, no request fails during key rotation and certificate renewal", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap, node } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  await makeSecrets(workstation, numbers.length);

  await scenario(t, "encryption rotate removes the old key, and no request fails", async (t) => {
    t.strictSame(await storedKeys(node(0)), ["aescbc:v1:key1"]);
    t.match(await storedSecret(node(0), "secret-7"), /^k8s:enc:aescbc:v1:key1:/);
    await underLoad(t, scene, ["encryption", "rotate", ...all]);
    const [key = "", ...others] = await storedKeys(node(0));
    t.match(key, /^aescbc:v1:key-\d{8}T\d{6}Z$/);
    t.strictSame(others, []);
    t.match(await storedSecret(node(0), "secret-7"), new RegExp(`^k8s:enc:${key}:`));
    t.strictSame(await readSecrets(workstation), numbers);
    const file = await readFile(join(testbed.credentials, "encryption-config.yaml"), "utf8");
    t.strictSame(file.match(/name: .*/g), [`name: ${key.split(":").at(-1)}`], "one key remains in the file");
    for (const node of testbed.nodes) {
      t.equal(
        await node.must(["cat", "/var/lib/kubernetes/encryption-config.yaml"]),
        file,
        `${node.name} has the same file`,
      );
    }
  });

  await scenario(
    t,
    "no request fails during pki renew --all, and every API server serves its new certificate",
    async (t) => {
      const before = await Promise.all(testbed.nodes.map((node) => servedCertificate(testbed, node)));
      const token = await serviceAccountToken(scene);
      await underLoad(t, scene, ["pki", "renew", "--all", ...all]);
      const after = await Promise.all(testbed.nodes.map((node) => servedCertificate(testbed, node)));
      t.strictSame(new Set(after.map(({ serialNumber }) => serialNumber)).size, 1);
      for (const [index, { serialNumber }] of after.entries()) t.not(serialNumber, before[index]?.serialNumber);
      t.strictSame(await readSecrets(workstation), numbers);
      t.equal(await serviceAccountToken(scene), token);
      t.match(
        (await whoIs(scene, token)).stdout,
        /system:serviceaccount:default:default/,
        "a token from before the rotation is accepted",
      );
      const { code, stdout } = await workstation.khw(["status", ...all]);
      t.equal(code, 0, stdout);
    },
  );
});

async function underLoad(t: Test, { testbed, workstation }: Scene, command: readonly string[]): Promise<void> {
  const running = await startLoad(testbed, load);
  const [start, begun] = [performance.now(), Date.now()];
  const { code, stdout, stderr } = await workstation.khw(command, { timeoutMs: 800_000 });
  t.comment(`${command.slice(0, 2).join(" ")}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  const report = await running.stop();
  t.equal(code, 0, stdout + stderr);
  for (const line of stdout.split("\n")) t.comment(line);
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("a keep-alive connection", report.kept));
  for (const line of whenFailed(report, begun)) t.comment(line);
  t.strictSame([report.fresh.failed.slice(0, 5), report.kept.failed.slice(0, 5)], [[], []]);
  t.ok(report.fresh.sent > 1000, `more than 1000 requests were sent: ${report.fresh.sent}`);
}

/**
 * Returns the failures in each ten-second interval of the load, with the reasons. The intervals show whether a node's
 * update or a busy machine caused the failures.
 */
function whenFailed({ fresh, kept }: Report, begun: number): string[] {
  const bins = Map.groupBy([...fresh.failed, ...kept.failed], ({ at }) => Math.floor((at - begun) / 10_000));
  return [...bins]
    .toSorted(([a], [b]) => a - b)
    .map(([bin, failures]) => {
      const reasons = [...new Set(failures.map(({ why }) => why))].join(" | ");
      return `after ${bin * 10} s: ${failures.length} failed (${reasons})`;
    });
}

/** Returns the token of the service account `default`. */
async function serviceAccountToken({ workstation }: Scene): Promise<string> {
  const template = '{range .items[?(@.type=="kubernetes.io/service-account-token")]}{.data.token}{"\\n"}{end}';
  const { stdout } = await workstation.kubectl(["get", "secrets", "-o", `jsonpath=${template}`]);
  return Buffer.from(stdout.split("\n")[0] ?? "", "base64").toString("utf8");
}

/**
 * Returns the API's answer to a request with this token: "forbidden" for a known user, "unauthorized" for an unknown
 * user.
 */
async function whoIs({ testbed }: Scene, token: string) {
  const url = `https://${testbed.publicAddress}:6443/api/v1/namespaces/default/secrets`;
  return testbed.run([
    "curl",
    "--silent",
    "--cacert",
    join(testbed.credentials, "ca.pem"),
    "--header",
    `Authorization: Bearer ${token}`,
    url,
  ]);
}
