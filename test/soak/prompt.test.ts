/**
 * Measures the delay until a watching client learns of a unit's change. The delay is the time between systemd's
 * timestamp of the change and the client's timestamp of the message.
 */
import { setTimeout as delay } from "node:timers/promises";

import t from "tap";

import { watchNodes, type Word } from "../faults/watch.ts";
import { openScene } from "../fixtures/faults.ts";
import { unitTimes } from "../fixtures/unit-times.ts";

const unit = "kube-scheduler";
const rounds = 20;
/** The pause between two starts. It is needed, because systemd refuses more than five starts in ten seconds. */
const apartMillis = 2_600;
const medianMillis = 100;
/** After this time, the message counts as lost rather than late. */
const patienceMillis = 10_000;
/** The limit is generous, because the machine that runs the test may be busy. */
const maxMillis = 1_000;

function componentIn(word: Word) {
  return word.kind === "status" ? word.message.kind?.value.components.find(({ name }) => name === unit) : undefined;
}

function spread(values: readonly number[]): { readonly min: number; readonly median: number; readonly max: number } {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (index: number): number => Math.round((sorted[index] ?? NaN) * 10) / 10;
  return { min: at(0), median: at(Math.floor(sorted.length / 2)), max: at(sorted.length - 1) };
}

t.test("a watching client is notified of a component's stop and start within 100 ms", async (t) => {
  await using scene = await openScene(1);
  const { testbed, workstation, node, bootstrap } = scene;
  const machine = node(0);
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  await using watch = watchNodes(testbed, workstation);
  await watch.until(() => watch.view(machine.name).components.get(unit), AbortSignal.timeout(30_000));

  const late: Record<"stop" | "start", number[]> = { stop: [], start: [] };
  for (let round = 0; round < rounds; round++) {
    const words: Word[] = [];
    const ears = watch.listen((word) => void words.push(word));
    /** Records the time from `when` until the first matching message arrives. */
    const news = async (kind: "stop" | "start", is: (word: Word) => boolean, when: number): Promise<void> => {
      const word = await watch.until(() => words.find(is), AbortSignal.timeout(patienceMillis)).catch(() => undefined);
      if (word === undefined) t.fail(`round ${round}: no report of the ${kind}`);
      else late[kind].push(word.at - when);
    };
    // A watcher receives only the latest state, so two quick changes may be reported as one. Therefore the test waits
    // between stop and start.
    await machine.must(["systemctl", "stop", unit]);
    const { activeExit } = await unitTimes(machine, `${unit}.service`);
    await news("stop", (word) => (componentIn(word)?.activeState ?? "active") !== "active", activeExit);
    await machine.must(["systemctl", "start", unit]);
    const { activeEnter } = await unitTimes(machine, `${unit}.service`);
    await news("start", (word) => componentIn(word)?.sinceUnixMillis === Math.floor(activeEnter), activeEnter);
    ears();
    await delay(apartMillis);
  }
  for (const kind of ["stop", "start"] as const) {
    const { min, median, max } = spread(late[kind]);
    t.comment(`${kind}: ${late[kind].length} reports, min ${min} ms, median ${median} ms, max ${max} ms`);
    t.ok(median <= medianMillis, `half of the reports of a ${kind} arrive within ${medianMillis} ms`);
    t.ok(max <= maxMillis, `all reports of a ${kind} arrive within ${maxMillis} ms`);
  }
});
