import t from "tap";

import { readRestart, restartOrder } from "../../../../client/rollout/restart-order.ts";
import { GetPlanResponse, GetStatusResponse, Health } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { labState } from "../../../fixtures/lab-cluster.ts";
import { never } from "../../../fixtures/machine.ts";

interface Component {
  readonly name: "kube-apiserver" | "etcd";
  /** The process ID; 0 if the component is not running. */
  readonly pid: number;
  readonly health: Health;
}

const { HEALTH_HEALTHY, HEALTH_UNHEALTHY } = Health;

/**
 * Reads the restart of a node whose plan shows drift in these steps. Each GetStatus call returns the next response; the
 * last response repeats.
 */
async function restartOf(differing: readonly string[], ...statuses: readonly (readonly Component[])[]) {
  const cluster = await createFakeCluster(["controller-0"]);
  const [member] = cluster.members;
  if (member === undefined) throw new TypeError("there is no node");
  let asked = 0;
  const node = {
    ...member.node,
    plan: async () =>
      GetPlanResponse.fromPartial({ steps: differing.map((id) => ({ id, title: id, drift: "it differs" })) }),
    status: async () => {
      const components = [...(statuses[Math.min(asked, statuses.length - 1)] ?? [])];
      asked += 1;
      return GetStatusResponse.fromPartial({ components });
    },
  };
  const work = { node, desired: labState(), maintenance: undefined };
  const { serves, restarts } = await readRestart(work, { signal: never, settleMillis: 1_200 });
  return { serves, restarts, asked };
}

t.test("a node whose checks pass is serving, and restarts if a service differs", async (t) => {
  t.strictSame(await restartOf([]), { serves: true, restarts: false, asked: 0 });
  t.strictSame(await restartOf(["service/kube-apiserver"]), { serves: true, restarts: true, asked: 0 });
  t.strictSame(await restartOf(["service/etcd"]), { serves: true, restarts: true, asked: 0 });
});

t.test("a single failed check does not make a healthy component count as down", async (t) => {
  for (const name of ["kube-apiserver", "etcd"] as const) {
    const differing = [`ready/${name}`, `service/${name}`];
    const well = { name, pid: 100, health: HEALTH_HEALTHY };
    const expected = { serves: true, restarts: true };
    t.match(await restartOf(differing, [well]), { ...expected, asked: 1 }, name);
    const late = await restartOf(differing, [{ ...well, health: HEALTH_UNHEALTHY }], [well]);
    t.match(late, { ...expected, asked: 2 }, `${name}, healthy at the second probe`);
  }
});

t.test("a component that is not running, or that stays unhealthy, counts as down", async (t) => {
  const differing = ["ready/kube-apiserver", "service/kube-apiserver"];
  const down = { serves: false, restarts: false };
  t.match(await restartOf(differing, []), { ...down, asked: 1 }, "not installed");
  const name = "kube-apiserver";
  t.match(await restartOf(differing, [{ name, pid: 0, health: HEALTH_UNHEALTHY }]), { ...down, asked: 1 }, "stopped");
  const hung = await restartOf(differing, [{ name, pid: 100, health: HEALTH_UNHEALTHY }]);
  t.match(hung, down);
  t.ok(hung.asked > 1, "a running component gets more time");
});

t.test(
  "the read fails if the agent stops answering after the plan, because the node may still be serving",
  async (t) => {
    const cluster = await createFakeCluster(["controller-0"]);
    const [fake, member] = [cluster.nodes[0], cluster.members[0]];
    if (fake === undefined || member === undefined) throw new TypeError("there is no node");
    fake.reachable = false;
    const plan = async () =>
      GetPlanResponse.fromPartial({ steps: [{ id: "ready/etcd", title: "", drift: "no answer" }] });
    const work = { node: { ...member.node, plan }, desired: labState(), maintenance: undefined };
    await t.rejects(readRestart(work, { signal: never }), { code: "UNREACHABLE" });
  },
);

t.test("the order lists the serving nodes and the restarting nodes", async (t) => {
  const { members } = await createFakeCluster(["controller-0", "controller-1"]);
  const [first, second] = members.map(({ node }) => node);
  if (first === undefined || second === undefined) throw new TypeError("there is no node");
  const order = restartOrder([
    { node: first, serves: true, restarts: true, maintenance: undefined },
    { node: second, serves: false, restarts: false, maintenance: undefined },
  ]);
  t.strictSame([...order.serving], [first]);
  t.strictSame([...order.restarting], [first]);
  t.equal(order.drained.size + order.left.size, 0);
});
