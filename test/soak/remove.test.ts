/** Removes controllers from a cluster while clients read and write through the load balancer. */
import t, { type Test } from "tap";

import { failsWith, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { makeSecrets, readSecrets } from "../fixtures/secrets-kept.ts";
import { startLoad, tell } from "../fixtures/serving.ts";

const load = { rate: 20, reads: "/api/v1/namespaces/default/secrets/secret-7" };
const numbers = Array.from({ length: 40 }, (_, number) => number);

t.test("three controllers behind a load balancer", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { workstation, bootstrap, node, start } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  await makeSecrets(workstation, numbers.length);
  const etcdCluster = await clusterId(scene);

  await scenario(t, "remove is refused if etcd would lose its quorum, and nothing changes", async (t) => {
    await node(1).must(["systemctl", "kill", "--signal=STOP", "etcd.service"]);
    const refused = await workstation.khw(["remove", "controller-2", "--nodes", "controller-0,1,2"]);
    failsWith(t, refused, "WOULD_INTERRUPT", [/1 of the 2 remaining members is healthy, but 2 are needed/]);
    await node(1).must(["systemctl", "kill", "--signal=CONT", "etcd.service"]);
    const again = await bootstrap();
    t.equal(again.code, 0, again.stderr);
  });

  await scenario(
    t,
    "remove of a live controller: no request fails, also if the client is killed on the way",
    async (t) => {
      const before = await etcdPids(scene, [0, 1]);
      await underLoad(t, scene, async () => {
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

  await scenario(t, "a removed controller joins again, and a dead one is removed", async (t) => {
    const again = await bootstrap();
    t.equal(again.code, 0, again.stdout + again.stderr);
    t.strictSame(await members(scene), ["controller-0", "controller-1", "controller-2"]);
    await node(1).powerOff();
    await takenOut(scene, "controller-1");
    await underLoad(t, scene, () =>
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
    t.strictSame(await members(scene), ["controller-0", "controller-2"], "the machine that returns is no member");
  });

  await scenario(t, "a removed machine that has lost its etcd data does not rejoin, and says why", async (t) => {
    await node(1).run(["systemctl", "stop", "etcd"]);
    await node(1).must(["rm", "-rf", "/var/lib/etcd/member"]);
    await node(1).must(["systemctl", "restart", "khw-agent"]);
    for (;;) {
      const { stdout } = await node(1).run(["journalctl", "-u", "khw-agent", "-o", "cat", "--no-pager"]);
      const found = stdout.split("\n").find((line) => /was removed from the cluster/.test(line));
      if (found !== undefined) {
        t.comment(found);
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    t.strictSame(await members(scene), ["controller-0", "controller-2"]);
    t.match((await node(1).run(["systemctl", "is-active", "etcd"])).stdout, /inactive|failed/);
    t.strictSame(await pool(scene), ["controller-0", "controller-2"]);
  });
});

async function underLoad(
  t: Test,
  { testbed }: Scene,
  command: () => Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>,
): Promise<void> {
  const running = await startLoad(testbed, load);
  const start = performance.now();
  const { code, stdout, stderr } = await command();
  t.comment(`${((performance.now() - start) / 1000).toFixed(1)} s`);
  const report = await running.stop();
  t.equal(code, 0, stdout + stderr);
  for (const line of stdout.split("\n")) t.comment(line);
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("a kept connection", report.kept));
  t.strictSame([report.fresh.failed.slice(0, 5), report.kept.failed.slice(0, 5)], [[], []]);
}

const etcdctl = [
  "etcdctl",
  "--cacert=/etc/etcd/ca.pem",
  "--cert=/etc/etcd/kubernetes.pem",
  "--key=/etc/etcd/kubernetes-key.pem",
  "--endpoints=https://127.0.0.1:2379",
];

/** Returns the names of etcd's members. */
async function members({ node }: Scene): Promise<string[]> {
  const text = await node(0).must(["env", "ETCDCTL_API=3", ...etcdctl, "member", "list"]);
  return text
    .trim()
    .split("\n")
    .map((line) => line.split(", ")[2] ?? "")
    .toSorted();
}

async function clusterId({ node }: Scene): Promise<number> {
  const text = await node(0).must(["env", "ETCDCTL_API=3", ...etcdctl, "--write-out=json", "member", "list"]);
  const { header }: { header: { cluster_id: number } } = JSON.parse(text);
  return header.cluster_id;
}

async function etcdPids({ node }: Scene, indexes: readonly number[]): Promise<string[]> {
  return Promise.all(indexes.map((index) => node(index).must(["systemctl", "show", "-P", "MainPID", "etcd"])));
}

/** Returns the names of the instances in the target pool. */
async function pool({ testbed }: Scene): Promise<string[]> {
  const { resources } = await testbed.compute.state();
  const found = Object.entries(resources).find(([path]) => path.includes("/targetPools/"));
  return (
    JSON.stringify(found?.[1]["instances"])
      .match(/controller-\d/g)
      ?.toSorted() ?? []
  );
}

/** Waits until the load balancer's health check has taken the machine out. */
async function takenOut({ testbed }: Scene, name: string): Promise<void> {
  for (;;) {
    const { health } = await testbed.compute.state();
    if (health.some(({ instance, state }) => instance.includes(name) && state === "UNHEALTHY")) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
