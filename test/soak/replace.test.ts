/** Replaces a live and a dead controller while clients read and write through the load balancer. */
import t from "tap";

import { clusterId, members, pool, takenOut, underLoad } from "../fixtures/changing-members.ts";
import { failsWith, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { makeSecrets, readSecrets } from "../fixtures/secrets-kept.ts";
import { laterVersion } from "../testbed/workstation.ts";

/** The number of new connections per second. A busy two-processor machine can handle this rate. */
const rate = 5;
const numbers = Array.from({ length: 40 }, (_, number) => number);

t.test("the fourth machine can replace one of three controllers", async (t) => {
  await using scene = await openScene(4, "", {
    withEtcd: false,
    version: laterVersion,
    zones: { "controller-2": "us-west1-a" },
  });
  const { workstation, node } = scene;
  const first = await workstation.khw(["bootstrap", "--nodes", "controller-0,1,2"]);
  t.equal(first.code, 0, first.stdout + first.stderr);
  await makeSecrets(workstation, numbers.length);
  const cluster = await clusterId(scene);

  await scenario(t, "an impossible replacement is refused and changes nothing", async (t) => {
    const nodes = ["--nodes", "controller-0,1,2"];
    const present = await workstation.khw(["replace", "controller-2", "--with", "controller-1", ...nodes]);
    failsWith(t, present, "INVALID_ARGUMENT", [/controller-1 is already in the list of nodes/]);
    const stranger = await workstation.khw(["replace", "controller-3", "--with", "controller-3", ...nodes]);
    failsWith(t, stranger, "INVALID_ARGUMENT", [/cannot replace itself/]);
    t.strictSame(await members(scene), ["controller-0", "controller-1", "controller-2"]);
  });

  await scenario(t, "a live controller is replaced even if the client is killed and rerun", async (t) => {
    const args = ["replace", "controller-2", "--with", "controller-3", "--nodes", "controller-0,1,2"];
    await underLoad(t, { scene, rate }, () => interruptedOnce(scene, args));
    t.strictSame(await members(scene), ["controller-0", "controller-1", "controller-3"]);
    t.strictSame(await pool(scene), ["controller-0", "controller-1", "controller-3"]);
    t.equal(await clusterId(scene), cluster);
    t.match((await node(2).run(["systemctl", "is-active", "kube-apiserver", "etcd"])).stdout, /inactive\ninactive/);
    const same = await workstation.khw(args);
    t.equal(same.code, 0, same.stdout + same.stderr);
    const plan = await workstation.khw(["plan", "--nodes", "controller-0,1,3"]);
    t.equal(plan.code, 0, plan.stdout + plan.stderr);
    t.strictSame(await readSecrets(workstation), numbers);
  });

  await scenario(
    t,
    "a dead controller is replaced by a machine in another zone even if the client is killed and rerun",
    async (t) => {
      const nodes = ["--nodes", "controller-0,1,3"];
      await node(1).powerOff();
      await takenOut(scene, "controller-1");
      const live = await workstation.khw(["replace", "controller-1", "--with", "controller-2", ...nodes]);
      t.not(live.code, 0);
      t.match(live.stdout + live.stderr, /add --dead/);
      const args = ["replace", "controller-1", "--with", "controller-2", "--dead", ...nodes];
      await underLoad(t, { scene, rate }, () => interruptedOnce(scene, args));
      t.strictSame(await members(scene), ["controller-0", "controller-2", "controller-3"]);
      t.strictSame(await pool(scene), ["controller-0", "controller-2", "controller-3"]);
      t.equal(await clusterId(scene), cluster);
      const plan = await workstation.khw(["plan", "--nodes", "controller-0,3,2"]);
      t.equal(plan.code, 0, plan.stdout + plan.stderr);
      t.strictSame(await readSecrets(workstation), numbers);
    },
  );
});

/** Kills the client while an existing controller is updated, and runs the same command again. */
async function interruptedOnce({ start, workstation }: Scene, args: readonly string[]) {
  const running = start(...args);
  await running.said(/controller-[013].*(drained|applying)/);
  running.kill();
  await running.ended;
  return workstation.khw([...args], { timeoutMs: 800_000 });
}
