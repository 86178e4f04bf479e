/** Replaces the management CA of three machines. The client is killed once in each stage. */
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { failsWith, killAfter, openScene, scenario } from "../fixtures/faults.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1,2"];
const rotate = ["pki", "rotate-management", ...all];

t.test("the management CA can be rotated without restarting a component or failing a request", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  const folder = join(workstation.folder, "khw-pki");
  const old = join(workstation.folder, "old-pki");
  await mkdir(old);
  for (const name of ["ca.pem", "admin.pem", "admin-key.pem"]) await copyFile(join(folder, name), join(old, name));
  const oldFlags = [
    `--management-ca=${join(old, "ca.pem")}`,
    `--management-certificate=${join(old, "admin.pem")}`,
    `--management-key=${join(old, "admin-key.pem")}`,
  ];
  const running = await startLoad(testbed, { rate: 5 });
  const processes = async (): Promise<string[]> =>
    Promise.all(
      testbed.nodes.map((node) =>
        node.must(["systemctl", "show", "-P", "MainPID", "kube-apiserver", "kube-scheduler", "khw-agent"]),
      ),
    );
  const before = await processes();

  await scenario(t, "agents still accept calls if the client is killed while it distributes both CAs", async (t) => {
    t.ok(await killAfter(scene, rotate, /controller-0: trusts both management CAs/));
    t.match(await workstation.mustKhw(["pki", "show"]), /a rotation is under way \(management\)/);
    t.equal((await workstation.khw(["status", ...all])).code, 0);
  });

  await scenario(
    t,
    "while the rotation waits, the agents trust both CAs, and old and new identities work",
    async (t) => {
      const { code, stdout, stderr } = await workstation.khw(rotate);
      t.equal(code, 0, stdout + stderr);
      for (const line of stdout.split("\n")) t.comment(line);
      t.match(stdout, /the rotation waits: every agent trusts both management CAs/);
      t.equal((await workstation.khw(["status", ...all])).code, 0);
      t.equal((await workstation.khw(["status", ...all, ...oldFlags])).code, 0, "the old identity works");
      failsWith(t, await workstation.khw(["encryption", "rotate", ...all]), "BUSY", [/another rotation is under way/]);
    },
  );

  await scenario(
    t,
    "a rotation that is killed while it drops the old CA completes when it is rerun, and the old CA is refused",
    async (t) => {
      t.ok(
        await killAfter(scene, [...rotate, "--drop-old"], /controller-0: has a certificate from the new management CA/),
      );
      const { code, stdout, stderr } = await workstation.khw([...rotate, "--drop-old"]);
      t.equal(code, 0, stdout + stderr);
      for (const line of stdout.split("\n")) t.comment(line);
      t.match(stdout, /an identity from the old management CA is refused by: controller-0, controller-1, controller-2/);
      const refused = await workstation.khw(["status", ...all, ...oldFlags]);
      t.not(refused.code, 0, "the old identity is refused");
      const ca = await readFile(join(folder, "ca.pem"), "utf8");
      for (const node of testbed.nodes) {
        t.equal(await node.must(["cat", "/etc/khw-agent/pki/ca.pem"]), ca, node.name);
        const verified = await node.run([
          "openssl",
          "verify",
          "-CAfile",
          "/etc/khw-agent/pki/ca.pem",
          "/etc/khw-agent/pki/agent.pem",
        ]);
        t.match(verified.stdout, /: OK/);
      }
      t.notOk((await readdir(folder)).includes("rotation-management"));
      t.equal((await workstation.khw(["status", ...all])).code, 0);
      t.equal((await workstation.khw(["plan", ...all])).code, 0);
      t.strictSame(await processes(), before, "no process has restarted");
    },
  );

  const report = await running.stop();
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("a keep-alive connection", report.kept));
  t.strictSame([report.fresh.failed.slice(0, 5), report.kept.failed.slice(0, 5)], [[], []]);
});
