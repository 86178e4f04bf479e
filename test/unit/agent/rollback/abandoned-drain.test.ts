import { setImmediate } from "node:timers/promises";
import t from "tap";
import { DrainReason } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { older, newer, rollingUpdate, scene, crashWhenNewer, type Scene } from "../../../fixtures/rollback-scene.ts";

t.test(
  "after a rollback, the agent undrains a node that a rolling update drained, unless the client does so first",
  async (t) => {
    const { os, node, apply } = await scene(t);
    const undrained = Promise.withResolvers<void>();
    node.statusStore.listen(({ maintenance }) => {
      if (maintenance?.drained === false) undrained.resolve();
    });
    await node.maintenance.set({ drained: true, holder: "alice", reason: rollingUpdate });
    os.answers.set("http://127.0.0.1:80/healthz", { status: 503, body: "" });
    crashWhenNewer(os, "kube-apiserver");
    t.match(await apply(newer), { operation: { rolledBack: { error: undefined } } });
    await undrained.promise;
    t.match(node.maintenance.current(), { drained: false, holder: "the agent, after its rollback" });
  },
);

t.test("an agent that restarts after a rollback still undrains the node", async (t) => {
  const { os, node, apply, ending } = await scene(t);
  await node.maintenance.set({ drained: true, holder: "alice", reason: rollingUpdate });
  os.answers.set("http://127.0.0.1:80/healthz", { status: 503, body: "" });
  crashWhenNewer(os, "kube-apiserver");
  const { operation } = await apply(newer, {
    onEvent: ({ kind }) => {
      if (kind?.$case === "operationFinished") ending.abort();
    },
  });
  t.match(operation, { rolledBack: { error: undefined } });
  t.ok(node.maintenance.current().drained);
  const undrained = Promise.withResolvers<void>();
  const { node: again } = await scene(t, { os, kept: null });
  again.statusStore.listen(({ maintenance }) => {
    if (maintenance?.drained === false) undrained.resolve();
  });
  await undrained.promise;
  t.notOk(again.maintenance.current().drained);
});

t.test(
  "an abandoned node stays drained if another drain or operation starts before the agent undrains the node",
  async (t) => {
    const drain = { drained: true, holder: "bob", reason: rollingUpdate };
    const others: readonly ((scene: Scene) => Promise<unknown>)[] = [
      ({ node }) => node.maintenance.set(drain),
      ({ node }) => node.maintenance.set({ ...drain, reason: DrainReason.DRAIN_REASON_PERSON }),
      ({ apply }) => apply(older),
    ];
    for (const other of others) {
      const made = await scene(t);
      const { os, node, apply } = made;
      await node.maintenance.set({ drained: true, holder: "alice", reason: rollingUpdate });
      os.answers.set("http://127.0.0.1:80/healthz", { status: 503, body: "" });
      crashWhenNewer(os, "kube-apiserver");
      const minute = Promise.withResolvers<void>();
      const waits: Promise<void>[] = [];
      Object.assign(os.clock, {
        delay: (millis: number) => {
          if (millis !== 60_000) return Promise.resolve();
          waits.push(minute.promise);
          return minute.promise;
        },
      });
      t.match(await apply(newer), { operation: { rolledBack: { error: undefined } } });
      t.equal(waits.length, 1, "the agent waits for the client exactly once");
      await other(made);
      minute.resolve();
      await setImmediate();
      await node.operations.idle();
      t.match(node.maintenance.current(), { drained: true });
    }
  },
);
