/**
 * Tests interruptions while two controllers join a cluster with one controller. The client and the agents are killed at
 * random moments. The rerun command completes the join, and the etcd cluster stays the same.
 */
import { setTimeout as sleep } from "node:timers/promises";

import t from "tap";

import { memberStatus } from "../fixtures/etcd.ts";
import { isOneCluster, openAlone } from "../fixtures/joining.ts";

const rounds = 6;
/** The longest time that a round waits before it kills the client and an agent. */
const momentMillis = 25_000;

t.test("two controllers join the cluster even if the client and agents are killed at random moments", async (t) => {
  await using scene = await openAlone(t);
  const { testbed, node, begin, bootstrap } = scene;
  const before = await memberStatus(node(0));
  for (let round = 1; round <= rounds; round++) {
    const victim = node(round % testbed.nodes.length);
    const millis = Math.round(Math.random() * momentMillis);
    const running = begin();
    await sleep(millis);
    running.kill();
    await victim.must(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "khw-agent.service"]);
    await running.ended;
    await victim.must(["systemctl", "restart", "khw-agent.service"]);
    const members = (await memberStatus(node(0)))?.members.length;
    t.comment(`round ${round}: after ${millis} ms, ${victim.name}; members of etcd: ${members ?? "no answer"}`);
  }
  const { code, stdout, stderr } = await bootstrap();
  t.equal(code, 0, stdout + stderr);
  await isOneCluster(t, scene, before?.clusterId);
});
