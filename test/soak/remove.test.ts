/** Removes controllers from a cluster while clients read and write through the load balancer. */
import t from "tap";

import { waitFor } from "../../proto/wait-for.ts";
import { clusterId, etcdPids, members, pool, takenOut, underLoad } from "../fixtures/changing-members.ts";
import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { makeSecrets, readSecrets } from "../fixtures/secrets-kept.ts";
import { laterVersion } from "../testbed/workstation.ts";

/** The number of new connections per second. */
const rate = 20;
const numbers = Array.from({ length: 40 }, (_, number) => number);

t.test("remove takes live and dead controllers out of a cluster behind a load balancer", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false, version: laterVersion });
  const { workstation, bootstrap, node, start } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  await makeSecrets(workstation, numbers.length);
  const etcdCluster = await clusterId(scene);

  await scenario(t, "remove is refused if etcd would lose its quorum", async (t) => {
    await node(1).must(["systemctl", "kill", "--signal=STOP", "etcd.service"]);
    const refused = await workstation.khw(["remove", "controller-2", "--nodes", "controller-0,1,2"]);
    failsWith(t, refused, "WOULD_INTERRUPT", [/1 of the 2 remaining members is healthy, but 2 are needed/]);
    await node(1).must(["systemctl", "kill", "--signal=CONT", "etcd.service"]);
    const again = await bootstrap();
    t.equal(again.code, 0, again.stderr);
  });

  await scenario(
    t,
    "no request fails while a live controller is removed, even if the client is killed and rerun",
    async (t) => {
      const before = await etcdPids(scene, [0, 1]);
      await underLoad(t, { scene, rate }, async () => {
        const running = start("remove", "controller-2", "--nodes", "controller-0,1,2");
        await running.said(/controller-[01].*(drained|applying)/);
        running.kill();
        await running.ended;
        return workstation.khw(["remove", "controller-2", "--nodes", "controller-0,1,2"], { timeoutMs: 500_000 });
      });
      t.strictSame(await members(scene), ["controller-0", "controller-1"]);
      t.strictSame(await etcdPids(scene, [0, 1]), before, "etcd was not restarted on the other controllers");
      t.equal(await clusterId(scene), etcdCluster);
      t.strictSame(await pool(scene), ["controller-0", "controller-1"]);
      t.match((await node(2).run(["systemctl", "is-active", "kube-apiserver", "etcd"])).stdout, /inactive\ninactive/);
      t.strictSame(await readSecrets(workstation), numbers);
      const same = await workstation.khw(["remove", "controller-2", "--nodes", "controller-0,1,2"]);
      t.equal(same.code, 0, same.stdout + same.stderr);
      const { code, stdout } = await workstation.khw(["status", "--nodes", "controller-0,1"]);
      t.equal(code, 0, stdout);
      const plan = await workstation.khw(["plan", "--nodes", "controller-0,1"]);
      t.equal(plan.code, 0, plan.stdout + plan.stderr);
    },
  );

  await scenario(t, "a removed controller can rejoin, and a dead controller can be removed", async (t) => {
    const again = await bootstrap();
    t.equal(again.code, 0, again.stdout + again.stderr);
    t.strictSame(await members(scene), ["controller-0", "controller-1", "controller-2"]);
    await node(1).powerOff();
    await takenOut(scene, "controller-1");
    await underLoad(t, { scene, rate }, () =>
      workstation.khw(["remove", "controller-1", "--dead", "--nodes", "controller-0,1,2"], { timeoutMs: 500_000 }),
    );
    t.strictSame(await members(scene), ["controller-0", "controller-2"]);
    t.strictSame(await pool(scene), ["controller-0", "controller-2"]);
    t.strictSame(await readSecrets(workstation), numbers);
    t.equal(await clusterId(scene), etcdCluster);
    await node(1).powerOn();
    const { code, stdout } = await workstation.khw(["status", "--nodes", "controller-0,1,2"]);
    t.not(code, 0);
    t.match(stdout, /controller-1: .*the node was removed from the cluster/);
    t.strictSame(
      await members(scene),
      ["controller-0", "controller-2"],
      "the removed machine is not an etcd member after it returns",
    );
  });

  await scenario(
    t,
    "a removed machine that has lost its etcd data does not rejoin, and its agent logs the reason",
    async (t) => {
      await node(1).run(["systemctl", "stop", "etcd"]);
      await node(1).must(["rm", "-rf", "/var/lib/etcd/member"]);
      await node(1).must(["systemctl", "restart", "khw-agent"]);
      const line = await waitFor<string>({
        what: "the agent does not report the removal",
        check: async () => {
          const { stdout } = await node(1).run(["journalctl", "-u", "khw-agent", "-o", "cat", "--no-pager"]);
          const found = stdout.split("\n").find((text) => /was removed from the cluster/.test(text));
          return found === undefined ? { seen: stdout.split("\n").at(-2) ?? "nothing" } : { reached: found };
        },
        deadlineMillis: 180_000,
        intervalMillis: 500,
        signal: new AbortController().signal,
      });
      t.comment(line);
      t.strictSame(await members(scene), ["controller-0", "controller-2"]);
      t.match((await node(1).run(["systemctl", "is-active", "etcd"])).stdout, /inactive|failed/);
      t.strictSame(await pool(scene), ["controller-0", "controller-2"]);
    },
  );
});
