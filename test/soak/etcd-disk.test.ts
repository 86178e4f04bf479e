/**
 * Tests etcd with its data on a separate disk. The disk is an in-memory file system. When the test unmounts the disk
 * from the data folder, the disk stays mounted at another path. The machine must stay on, because the disk would lose
 * its content.
 */
import t from "tap";

import { type MemberStatus, memberStatus } from "../fixtures/etcd.ts";
import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

const data = "/var/lib/etcd";
const disk = "/srv/disk";
const wanted = "--etcd-dedicated-disk";
const nodes = ["--nodes", "controller-0,1,2"];

t.test("etcd runs only on its dedicated disk", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap, node } = scene;
  const second = node(1);

  await scenario(t, "bootstrap is refused if the dedicated disk is not mounted, and nothing starts", async (t) => {
    const refused = await bootstrap(wanted);
    failsWith(t, refused, "DISK_MISSING", [/controller-2: preflight: no disk is mounted at \/var\/lib\/etcd/]);
    for (const machine of testbed.nodes) t.not((await machine.run(["test", "-e", data])).code, 0, machine.name);
  });

  await scenario(t, "with the disk mounted, etcd stores its data there, and its unit requires the mount", async (t) => {
    for (const machine of testbed.nodes) await attach(machine);
    const { code, stdout, stderr } = await bootstrap(wanted);
    t.equal(code, 0, stdout + stderr);
    for (const machine of testbed.nodes) {
      await machine.must(["test", "-d", `${disk}/member`]);
      const mounts = await machine.must(["systemctl", "show", "-P", "RequiresMountsFor", "etcd"]);
      t.ok(mounts.split(/\s+/).includes(data), machine.name);
    }
    t.match((await bootstrap(wanted)).stdout, nodeLine("controller-1", "nothing to do"));
  });

  await scenario(
    t,
    "a member whose disk is unmounted is reported but not replaced, and continues when the disk is mounted again",
    async (t) => {
      const before = await wellMember(second);
      await second.must(["systemctl", "stop", "khw-agent", "etcd"]);
      await second.must(["umount", data]);
      await second.must(["systemctl", "start", "khw-agent"]);
      const told = await given("status reports the unmounted disk", async () => {
        const { stdout } = await workstation.khw(["status", ...nodes]);
        return stdout.includes("no disk is mounted at") ? stdout : undefined;
      });
      t.match(told, /controller-1.*no disk is mounted at/);
      t.notMatch(told, /is gone/);
      // The agent must have tried to start etcd by now. Otherwise, the guard might not be the reason why etcd is
      // stopped.
      await given("the guard prevents a start of etcd", async () =>
        (await second.must(["systemctl", "show", "-P", "ConditionResult", "etcd"])) === "no\n" ? true : undefined,
      );
      t.same(await second.must(["ls", data]), "", "nothing was written below the mount point");
      t.strictSame((await wellMember(node(0))).members.toSorted(), before.members.toSorted());

      await second.must(["mount", "--bind", disk, data]);
      await allWell();
      t.equal((await wellMember(second)).memberId, before.memberId, "the member keeps its ID");
    },
  );

  await scenario(t, "etcd does not start if the disk is unmounted and its mount point contains old data", async (t) => {
    await second.must(["systemctl", "stop", "khw-agent", "etcd"]);
    await second.must(["umount", data]);
    await second.must(["cp", "-a", `${disk}/member`, data]);
    const started = await second.run(["systemctl", "start", "etcd"]);
    t.not(started.code, 0, started.stdout);
    t.match(started.stderr, /[Aa]ssert/);
    await second.must(["rm", "-r", `${data}/member`]);
    await second.must(["mount", "--bind", disk, data]);
    await second.must(["systemctl", "start", "khw-agent"]);
    await allWell();
  });

  await scenario(
    t,
    "a member whose disk is replaced with an empty disk rejoins the cluster as a new member",
    async (t) => {
      const before = await wellMember(second);
      await second.must(["systemctl", "stop", "khw-agent", "etcd"]);
      await second.must(["umount", data, disk]);
      await attach(second);
      await second.must(["systemctl", "start", "khw-agent"]);
      await allWell();
      const after = await wellMember(second);
      t.equal(after.clusterId, before.clusterId);
      t.not(after.memberId, before.memberId);
      t.equal(after.members.length, 3);
      await second.must(["test", "-d", `${disk}/member`]);
    },
  );

  async function allWell(): Promise<void> {
    await given("status reports a healthy cluster", async () => {
      const { code } = await workstation.khw(["status", ...nodes]);
      return code === 0 ? code : undefined;
    });
  }
});

async function wellMember(machine: TestbedNode): Promise<MemberStatus> {
  return given(`${machine.name}'s etcd member answers`, () => memberStatus(machine));
}

async function attach(machine: TestbedNode): Promise<void> {
  await machine.must(["mkdir", "-p", disk, data]);
  await machine.must(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", disk]);
  await machine.must(["mount", "--bind", disk, data]);
}
