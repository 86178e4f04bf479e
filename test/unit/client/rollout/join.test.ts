import t from "tap";
import { joinEtcd } from "../../../../client/rollout/join.ts";
import { noMembership } from "../../../../client/rollout/membership.ts";
import { rollNodes } from "../../../../client/rollout/rolling-update.ts";
import { KhwError, toDetail } from "../../../../proto/errors.ts";
import { DesiredState, type Event } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { JoinEtcdRequest } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const names = ["controller-0", "controller-1", "controller-2"];
const finished = (error?: KhwError): Event => ({
  operationId: "",
  sequence: 1,
  timeUnixMillis: 0,
  kind: {
    $case: "operationFinished",
    value: { changedSteps: 1, error: error === undefined ? undefined : toDetail(error) },
  },
});

async function scene({ failing = "", joined = () => {} }: { failing?: string; joined?: (name: string) => void } = {}) {
  const cluster = await createFakeCluster(names);
  const log: string[] = [];
  const work = cluster.members.map(({ node }) => {
    const { name } = node.address;
    const join = async function* ({ clusterId }: JoinEtcdRequest, signal: AbortSignal): AsyncGenerator<Event> {
      log.push(`${name} begins to join ${clusterId}`);
      joined(name);
      await new Promise(setImmediate);
      signal.throwIfAborted();
      log.push(`${name} ends`);
      yield finished(name === failing ? new KhwError("NOT_READY", "it has not caught up") : undefined);
    };
    const desired = DesiredState.fromPartial({ node: name });
    return { node: { ...node, etcd: { ...node.etcd, join } }, desired, maintenance: undefined };
  });
  const interrupt = new AbortController();
  const progress = { emit: () => {}, settled: async () => {} };
  const join = (joining: readonly string[]): Promise<void> =>
    joinEtcd(
      cluster,
      { work, membership: { ...noMembership, clusterId: "c1", joining } },
      { progress, signal: interrupt.signal },
    );
  return { log, interrupt, join };
}

t.test("new controllers join one at a time, in the given order", async (t) => {
  const { log, join } = await scene();
  await join(["controller-2", "controller-1"]);
  t.strictSame(log, [
    "controller-2 begins to join c1",
    "controller-2 ends",
    "controller-1 begins to join c1",
    "controller-1 ends",
  ]);
});

t.test("if a controller fails to join, no further controller starts to join", async (t) => {
  const { log, join } = await scene({ failing: "controller-1" });
  await t.rejects(join(["controller-1", "controller-2"]), {
    code: "PARTIAL",
    message: /the existing controllers are unchanged.*controller-1: it has not caught up.*controller-2: skipped/s,
  });
  t.strictSame(log, ["controller-1 begins to join c1", "controller-1 ends"]);
});

t.test("after Ctrl-C, no further controller starts to join", async (t) => {
  const { log, interrupt, join } = await scene({ joined: () => interrupt.abort() });
  await join(["controller-1", "controller-2"]);
  t.strictSame(log, ["controller-1 begins to join c1"]);
});

t.test("the only serving node is drained only after the load balancer uses the new controllers", async (t) => {
  const cluster = await createFakeCluster(names);
  const { log, nodes } = cluster;
  const fresh = nodes.slice(1);
  for (const node of fresh) Object.assign(node, { well: false });
  let states = 0;
  const { compute, loadBalancer } = cluster.cloud ?? noCloud();
  const health: typeof compute.health = async (...args) => {
    // The load balancer notices a healthy node a little later.
    if (log.includes("controller-2 applied") && ++states === 5) for (const node of fresh) delete node.stuck;
    return compute.health(...args);
  };
  const members = cluster.members.map(({ node, ...rest }) => ({
    ...rest,
    node: {
      ...node,
      apply: async function* () {
        const { name } = node.address;
        log.push(`${name} applied`);
        const own = nodes.find((one) => one.name === name);
        if (own?.well === false) Object.assign(own, { well: true, stuck: "UNHEALTHY" });
        yield finished();
      },
    },
  }));
  const all = members.map(({ node }) => node);
  const serving = new Set(all.slice(0, 1));
  await rollNodes(
    { ...cluster, members, cloud: { compute: { ...compute, health }, loadBalancer } },
    {
      work: all.map((node) => ({
        node,
        desired: DesiredState.fromPartial({ node: node.address.name }),
        maintenance: undefined,
      })),
      serving,
      restarting: serving,
      updating: new Set(),
      left: new Set(),
    },
    { noRollback: false, signal: new AbortController().signal, progress: { emit: () => {}, settled: async () => {} } },
  );
  t.strictSame(log.slice(-3), ["controller-0 drained", "controller-0 applied", "controller-0 undrained"]);
});

function noCloud(): never {
  throw new TypeError("the fake cluster has no load balancer");
}
