/**
 * Bootstraps three Debian 13 machines with one command, as the demo does. The machines have only khw's package
 * installed.
 */
import { readdir, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { noCredentials, startTestbed } from "../testbed/index.ts";
import { readLock } from "../../client/lock/file.ts";
import { createAuthority } from "../../client/pki/management/issue.ts";
import { agentPackage, installPackage, makeBareWorkstation, useTlsMirror } from "../testbed/workstation.ts";
import { exitOf } from "../fixtures/faults.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

t.test("bootstrap needs only machines with the khw-agent package installed", async (t) => {
  await using testbed = await startTestbed({
    withEtcd: false,
    credentials: noCredentials,
    suite: "trixie",
    tlsMirror: true,
  });
  const workstation = await makeBareWorkstation(testbed);
  const mirrors = await useTlsMirror(testbed, workstation);
  await installPackage(testbed.nodes, agentPackage);
  const bootstrap = ["bootstrap", "--nodes", "controller-0,1,2", ...mirrors];

  const plan = await workstation.khw(["plan", "--nodes", "controller-0,1,2"]);
  t.equal(plan.code, 65, "plan fails because there is no management CA");
  t.match(plan.stderr, /khw-pki\/ca\.pem.*\n.*khw-client pki init/s);

  // Bootstrap refuses a node that has the CA of a different cluster. It may contact the agents first, but it creates no
  // files for the cluster.
  const [foreign] = testbed.nodes;
  const authority = "/var/lib/kubernetes/ca.pem";
  await foreign?.must(["sh", "-ec", `mkdir -p /var/lib/kubernetes; cat > ${authority}`], {
    input: (await createAuthority(new Date())).certificate,
  });
  const refused = await workstation.khw(bootstrap);
  t.equal(refused.code, 69, refused.stdout + refused.stderr);
  t.match(refused.stderr, /ca\.pem is the CA of another cluster/);
  t.match(refused.stdout, /khw-pki\/ca\.pem: created/);
  for (const { name } of testbed.nodes)
    t.match(refused.stdout, new RegExp(`${name}: enrolled: CN=${name}, O=khw:agent`));
  t.same(await readdir(testbed.credentials), []);
  await foreign?.must(["rm", authority]);

  // Bootstrap detects that the mirror serves a different digest to one of the controllers, and creates nothing.
  const lock = join(workstation.folder, "khw.lock");
  await testbed.mirror.setFaults({ kind: "body", body: "0".repeat(64), path: "kubectl\\.sha256$", times: 1 });
  const differing = await workstation.khw(bootstrap);
  t.equal(differing.code, exitOf("DIGEST_MISMATCH"), differing.stdout + differing.stderr);
  t.match(
    differing.stderr,
    /kubectl v1\.20\.2 \(\w+\): the controllers report different SHA-256 digests: .*0{64} for controller-\d/,
  );
  t.same(await readdir(testbed.credentials), []);
  t.same(await readLock(lock), []);
  await testbed.mirror.setFaults();

  const plain = await workstation.khw(bootstrap.map((each) => each.replace(testbed.tlsMirrorUrl, testbed.mirrorUrl)));
  t.equal(plain.code, exitOf("CONFIG_INVALID"), plain.stdout + plain.stderr);
  t.match(plain.stderr, /kubernetes\.mirrors: "http:.* is not encrypted, and no digest is known for kube-apiserver/);

  const first = await workstation.khw(bootstrap);
  t.equal(first.code, 0, first.stdout + first.stderr);
  t.match(first.stdout, /created the cluster's certificates, kubeconfigs and encryption key: \d+ files/);
  const locked = await readLock(lock);
  t.match(first.stdout, /khw\.lock: recorded the digests of 5 programs; commit this file/);
  t.same(
    locked.map(({ program }) => program),
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"],
  );
  for (const { program, version, sha256, source } of locked.slice(1)) {
    t.equal(sha256, (await readFile(join(testbed.kubernetes, version, `${program}.sha256`), "utf8")).slice(0, 64));
    t.ok(source.startsWith(testbed.tlsMirrorUrl), source);
  }
  const folders = [testbed.credentials, join(workstation.folder, "khw-pki")];
  for (const folder of folders) {
    t.equal((await stat(folder)).mode & 0o777, 0o700, folder);
    for (const name of await readdir(folder)) t.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
  }

  t.equal((await workstation.khw(["status", "--nodes", "controller-0,1,2"])).code, 0);
  const secret = ["create", "secret", "generic", "bare", "--from-literal=key=value"];
  t.equal((await workstation.kubectl(secret)).code, 0, "kubectl creates a Secret through the load balancer");

  const again = await workstation.khw(bootstrap);
  t.equal(again.code, 0, again.stdout + again.stderr);
  for (const { name } of testbed.nodes) t.match(again.stdout, nodeLine(name, "nothing to do"));

  await rename(testbed.credentials, `${testbed.credentials}.away`);
  const lost = await workstation.khw(bootstrap);
  t.equal(lost.code, 65, "bootstrap creates no second CA for a cluster that already has a CA");
  t.match(lost.stderr, /was set up with credentials/);
});
