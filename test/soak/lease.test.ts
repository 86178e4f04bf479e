/**
 * Makes two API servers of a cluster hang at the same time. The agents must restart these API servers one after the
 * other.
 */
import t from "tap";

import { allWell } from "../faults/measure.ts";
import { watchNodes } from "../faults/watch.ts";
import { journal, openScene } from "../fixtures/faults.ts";
import { unitTimes } from "../fixtures/unit-times.ts";

const deadlineMillis = 180_000;

t.test("agents never stop two hung API servers at the same time", async (t) => {
  await using scene = await openScene(3);
  const { testbed, workstation, node } = scene;
  const bootstrapped = await scene.bootstrap();
  t.equal(bootstrapped.code, 0, bootstrapped.stderr);
  await using watch = watchNodes(testbed, workstation);
  const settled = (): Promise<void> => allWell(testbed.nodes, watch, deadlineMillis);
  await settled();

  const hung = [node(0), node(1)];
  const begun = Date.now();
  await Promise.all(
    hung.map((node) => node.must(["sh", "-c", "kill -STOP $(systemctl show -P MainPID kube-apiserver)"])),
  );
  await settled();

  const restarts = await Promise.all(
    hung.map(async (node) => {
      const { history } = await watch.ask(node.name);
      const own = history.filter(({ subject, timeUnixMillis: at }) => subject === "kube-apiserver" && at >= begun);
      const at = (message: RegExp): number => own.find((event) => message.test(event.message))?.timeUnixMillis ?? NaN;
      const { activeExit } = await unitTimes(node, "kube-apiserver.service");
      const said = await journal(node);
      return {
        name: node.name,
        told: own.map(({ message, cause }) => `${message}: ${cause}`),
        begun: at(/^restarted by the agent$/),
        stopped: activeExit,
        well: at(/^is healthy again/),
        waited: /kube-apiserver: (\S+) is restarting its API server/.exec(said)?.[1],
      };
    }),
  );
  const [first, second] = restarts.toSorted((one, other) => one.stopped - other.stopped);
  if (first === undefined || second === undefined) throw new Error("expected two hung API servers");
  for (const { name, told, begun: at, stopped, well } of [first, second]) {
    t.ok(
      Number.isFinite(at) && Number.isFinite(well),
      `${name}'s API server was restarted and became healthy: ${told.join("; ")}`,
    );
    const seconds = (time: number): string => `${((time - begun) / 1000).toFixed(1)} s`;
    t.comment(`${name}: stopped after ${seconds(stopped)}, healthy after ${seconds(well)}`);
  }
  t.ok(
    second.stopped >= first.well,
    "the second API server was stopped only after the first API server answered again",
  );
  t.equal(second.waited, first.name, "the second node reports that it waits for the first node");
  t.equal(first.waited, undefined, "the first node did not wait");
});
