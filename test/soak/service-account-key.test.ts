/**
 * Replaces the service account key while clients use the load balancer. Kills khw-client once in each stage, and
 * continues by running the same command again.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { failsWith, killAfter, openScene, restartAfter, scenario, type Scene } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1"];
const rotateKey = ["pki", "rotate-service-account-key", ...all];
const load = { rate: 5 };

t.test("the service account key can be rotated without a failed request", async (t) => {
  await using scene = await openScene(2, "", { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  const oldSecret = await given("the Secret has a token", async () => (await secretToken(scene)) || undefined);
  const oldRequested = await requestedToken(scene);
  const podFile = JSON.stringify(pod);
  const created = await workstation.kubectl(["create", "-f", "-"], { input: podFile });
  t.equal(created.code, 0, created.stderr);
  const running = await startLoad(testbed, load);
  await scenario(t, "a rotation killed while the new public key is distributed blocks other rotations", async (t) => {
    t.ok(await killAfter(scene, rotateKey, restartAfter(/the new public key is added/)));
    t.equal(await publicKeys(scene), 2);
    const shown = await workstation.mustKhw(["pki", "show"]);
    t.match(shown, /a rotation is under way \(service-account-key\): the API servers are getting the new public key/);
    const refused = await workstation.khw(["encryption", "rotate", ...all]);
    failsWith(t, refused, "BUSY", [/another rotation is under way \(service-account-key\)/]);
  });

  await scenario(
    t,
    "if a rotation is killed while the new signing key is distributed, old tokens are still accepted",
    async (t) => {
      t.ok(await killAfter(scene, rotateKey, restartAfter(/every API server accepts tokens signed with the new key/)));
      t.equal(await status(scene, oldSecret), 403, "tokens signed with the old key are accepted");
    },
  );

  await scenario(
    t,
    "the rotation keeps both keys in use while it waits, and lists the remaining uses of the old key",
    async (t) => {
      const { code, stdout, stderr } = await workstation.khw(rotateKey);
      t.equal(code, 0, stdout + stderr);
      for (const line of stdout.split("\n")) t.comment(line);
      t.match(stdout, /since \S+, every API server has signed with the new key/);
      t.match(stdout, /old key: the Secret default\/default-token-\w+ .* 1 pod uses it/);
      t.match(stdout, /restart: Pod default\/holder \(1 pod\): uses the Secret default-token-/);
      t.match(stdout, /the rotation waits, and both keys are in use/);
      t.notMatch(stdout, oldSecret);
      for (const token of [oldSecret, oldRequested, await requestedToken(scene)])
        t.equal(await status(scene, token), 403);
      t.match((await workstation.khw(["status", ...all])).stdout, /rotation is under way.*waiting for --drop-on/);
      t.equal((await workstation.khw(["plan", ...all])).code, 0, "plan finds no difference while the rotation waits");
    },
  );

  await scenario(t, "--reissue-tokens creates new token Secrets for the service accounts", async (t) => {
    const { code, stdout, stderr } = await workstation.khw([...rotateKey, "--reissue-tokens"]);
    t.equal(code, 0, stdout + stderr);
    for (const line of stdout.split("\n")) t.comment(line);
    const fresh = await secretToken(scene);
    t.not(fresh, oldSecret);
    t.equal(await status(scene, fresh), 403);
    t.equal(await status(scene, oldSecret), 403, "the old Secret's token is still accepted");
  });

  await scenario(
    t,
    "a second run completes a rotation that was killed while it dropped the old key, and old tokens are refused",
    async (t) => {
      const { stdout: today } = await testbed.run(["date", "--utc", "+%F"]);
      const drop = [...rotateKey, "--drop-on", today.trim()];
      t.ok(await killAfter(scene, drop, restartAfter(/the old key is dropped from service-account.pem/)));
      const { code, stdout, stderr } = await workstation.khw(rotateKey);
      t.equal(code, 0, stdout + stderr);
      for (const line of stdout.split("\n")) t.comment(line);
      t.match(stdout, /a token signed with the old key is refused \(401\) by: .*controller-1/);
      t.match(stdout, /restart: Pod default\/holder \(1 pod\)/);
      t.match(stdout, /done: every API server refuses tokens signed with the old key/);
      for (const token of [oldSecret, oldRequested]) t.equal(await status(scene, token), 401);
      for (const token of [await secretToken(scene), await requestedToken(scene)])
        t.equal(await status(scene, token), 403);
      t.equal(await publicKeys(scene), 1);
      t.notOk((await readdir(testbed.credentials)).includes("rotation-service-account-key"));
      const kept = await workstation.kubectl(["get", "secrets", "-n", "default", "-o", "name"]);
      t.comment(kept.stdout);
      t.equal((await workstation.khw(["status", ...all])).code, 0);
      t.equal((await workstation.khw(["plan", ...all])).code, 0);
    },
  );

  const report = await running.stop();
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("a keep-alive connection", report.kept));
  for (const { at, why } of [...report.fresh.failed, ...report.kept.failed])
    t.comment(`failed at ${new Date(at).toISOString()}: ${why}`);
  t.strictSame([report.fresh.failed.slice(0, 5), report.kept.failed.slice(0, 5)], [[], []]);
});

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "holder", namespace: "default" },
  spec: { containers: [{ name: "a", image: "example.com/a" }] },
};

/** Returns the number of public keys in the workstation's service-account.pem. */
async function publicKeys({ testbed }: Scene): Promise<number> {
  const text = await readFile(join(testbed.credentials, "service-account.pem"), "utf8");
  return text.match(/-----BEGIN/g)?.length ?? 0;
}

/** Returns the token in the Secret that the service account `default` refers to. */
async function secretToken({ workstation }: Scene): Promise<string> {
  const account = await workstation.kubectl(["get", "serviceaccount", "default", "-o", "jsonpath={.secrets[0].name}"]);
  const secret = await workstation.kubectl(["get", "secret", account.stdout, "-o", "jsonpath={.data.token}"]);
  return Buffer.from(secret.stdout, "base64").toString("utf8");
}

/** Requests a token for the service account `default` from an API server. */
async function requestedToken({ workstation }: Scene): Promise<string> {
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 7200 } };
  const path = "/api/v1/namespaces/default/serviceaccounts/default/token";
  const { stdout, stderr } = await workstation.kubectl(["create", "--raw", path, "-f", "-"], {
    input: JSON.stringify(request),
  });
  const answer: { status?: { token?: string } } = JSON.parse(stdout || "{}");
  if (answer.status?.token === undefined) throw new Error(stderr);
  return answer.status.token;
}

/** Returns the HTTP status of a request with this token: 403 for a known user, 401 for an invalid token. */
async function status({ testbed }: Scene, token: string): Promise<number> {
  const { stdout } = await testbed.run([
    "curl",
    "--silent",
    "--output",
    "/dev/null",
    "--write-out",
    "%{http_code}",
    "--cacert",
    join(testbed.credentials, "ca.pem"),
    "--header",
    `Authorization: Bearer ${token}`,
    `https://${testbed.publicAddress}:6443/api/v1/namespaces/default/secrets`,
  ]);
  return Number(stdout);
}
