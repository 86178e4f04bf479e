/**
 * Tests how the agents react to faults in a running control plane. The faults are one fault of each kind, an etcd
 * cluster without quorum, and a power loss.
 */
import t from "tap";

import { components } from "../../proto/components.ts";
import { type Fault, faults } from "../faults/faults.ts";
import { allWell, measure } from "../faults/measure.ts";
import { ailments, watchNodes } from "../faults/watch.ts";
import { openScene, scenario } from "../fixtures/faults.ts";
import type { TestbedNode } from "../testbed/index.ts";

const deadlineMillis = 120_000;
/** The time without etcd quorum, which is much longer than an agent needs to declare an API server dead. */
const withoutQuorumMillis = 30_000;

/** The list contains each kind of fault once. */
const kinds: readonly (readonly [node: number, fault: string])[] = [
  [0, "`kill -9` of kube-scheduler"],
  [1, "`kill -STOP` of kube-controller-manager"],
  [2, "`kill -STOP` of nginx and its workers"],
  [0, "`chmod 644` of ca-key.pem"],
  [1, "`systemctl disable` of kube-scheduler"],
  [2, "kube-scheduler's unit file removed"],
  [0, "a flag of kube-controller-manager edited, reloaded and restarted"],
  [1, "kubectl removed from /usr/local/bin"],
  [2, "kube-controller-manager truncated to half its size, in both locations"],
  [0, "nginx's link deleted, and nginx reloaded"],
  [1, "kube-scheduler.kubeconfig changed"],
  [2, "`systemctl stop` of kube-scheduler"],
  [0, "`kill -9` of kube-apiserver"],
];

/** Returns the process properties that a restart would change. */
async function processes(node: TestbedNode, units: readonly string[]): Promise<string> {
  return node.must(["systemctl", "show", "-p", "Id,MainPID,NRestarts,ExecMainStartTimestampMonotonic", ...units]);
}

t.test("the agent supervises the control plane", async (t) => {
  await using scene = await openScene(3);
  const { testbed, workstation, node } = scene;
  const bootstrapped = await scene.bootstrap();
  t.equal(bootstrapped.code, 0, bootstrapped.stderr);
  await using watch = watchNodes(testbed, workstation);
  const settled = (): Promise<void> => allWell(testbed.nodes, watch, deadlineMillis);
  await settled();

  await scenario(t, "the agent detects and repairs a fault of each kind", async (t) => {
    await Promise.all(
      testbed.nodes.map(async (node, index) => {
        for (const [, name] of kinds.filter(([at]) => at === index)) {
          const outcome = await measure(faultNamed(name), node, { watch, deadlineMillis });
          if ("problem" in outcome) t.fail(`${node.name}: ${name}: ${outcome.problem}`);
          else t.pass(`${node.name}: ${name}: seen after ${outcome.seen} ms, healthy after ${outcome.healthy} ms`);
        }
      }),
    );
    await settled();
  });

  await scenario(
    t,
    "if etcd loses quorum, the agents do not restart any API server, and their status states the reason",
    async (t) => {
      const stopped = [node(1), node(2)];
      const before = await Promise.all(testbed.nodes.map((node) => processes(node, ["kube-apiserver", "nginx"])));
      const supervised = () =>
        testbed.nodes.map(({ name }) => watch.view(name).components.get("kube-apiserver")?.supervisedRestarts);
      const restarts = supervised();
      await Promise.all(stopped.map((node) => node.must(["systemctl", "stop", "etcd"])));
      const signal = AbortSignal.timeout(withoutQuorumMillis);
      await Promise.all(
        testbed.nodes.map(({ name }) =>
          watch.until(() => {
            const { reason, diagnosis } = watch.view(name).components.get("kube-apiserver") ?? {};
            return /etcd/.test(reason ?? "") && diagnosis?.cause === "etcd-no-quorum" ? true : undefined;
          }, signal),
        ),
      ).catch(() => t.fail(`not every status names etcd: ${unwell()}`));
      t.comment(unwell());
      // No component may restart while etcd has no quorum.
      await watch.until(() => undefined, signal).catch(() => {});
      for (const node of stopped) {
        t.equal(
          (await node.run(["systemctl", "is-active", "etcd"])).stdout,
          "inactive\n",
          "the agent does not start a component that was stopped by hand",
        );
      }
      await Promise.all(stopped.map((node) => node.must(["systemctl", "start", "etcd"])));
      const back = performance.now();
      await settled();
      t.comment(`all healthy ${((performance.now() - back) / 1000).toFixed(1)} s after etcd started again`);
      t.strictSame(
        await Promise.all(testbed.nodes.map((node) => processes(node, ["kube-apiserver", "nginx"]))),
        before,
        "no API server or nginx process was restarted",
      );
      t.strictSame(supervised(), restarts, "the agents restarted nothing");
    },
  );

  await scenario(t, "a node recovers from a power loss without a client", async (t) => {
    const first = node(0);
    const start = performance.now();
    const lost = gone(first);
    await first.powerOff();
    await first.powerOn();
    await lost;
    await settled();
    t.comment(`healthy ${((performance.now() - start) / 1000).toFixed(1)} s after the power loss`);
    t.equal(await first.must(["systemctl", "is-active", ...components, "nginx", "etcd"]), "active\n".repeat(5));
  });

  await scenario(t, "a killed agent restarts, keeps its history, and does not disturb the control plane", async (t) => {
    const first = node(1);
    const units = [...components, "nginx", "etcd"];
    const before = await processes(first, units);
    const { history } = await watch.ask(first.name);
    const lost = gone(first);
    await first.must(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "khw-agent.service"]);
    await lost;
    await settled();
    t.equal(await processes(first, units), before);
    const { history: after } = await watch.ask(first.name);
    t.ok(history.length > 0, "the history contains events from before the kill");
    t.strictSame(after.slice(0, history.length), history, "the events from before the kill are unchanged");
    t.ok(after.length > history.length, "the agent's restart was added to the history");
  });

  function gone({ name }: TestbedNode): Promise<true> {
    const signal = AbortSignal.timeout(60_000);
    return watch.until((word) => (word?.kind === "lost" && word.node === name ? true : undefined), signal);
  }

  function unwell(): string {
    return testbed.nodes.map(({ name }) => `${name}: ${ailments(watch.view(name)).join("; ") || "well"}`).join(" | ");
  }
});

function faultNamed(wanted: string): Fault {
  const found = faults.find(({ name }) => name === wanted);
  if (found === undefined) throw new Error(`there is no fault named ${wanted}`);
  return found;
}
