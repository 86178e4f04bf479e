import t from "tap";

import type { TimedEvent } from "../../crash/events.ts";
import { choosePoints, chooseRunningPoints, type Point, victims } from "../../crash/points.ts";

const names = ["note a CA was made", "begin", "node operationStarted", "node stepStarted service/etcd"];
const events: readonly TimedEvent[] = [
  ...names.map((name, index) => ({ name, at: 100 * (index + 1) })),
  { name: "node stepFinished service/etcd", at: 500 },
  // Nearly all of the run's time passes before this event.
  { name: "node stepFinished package/nginx", at: 9_500 },
  { name: "node operationFinished", at: 9_600 },
  { name: "note the control plane answers", at: 9_700 },
];
const both = { bare: events, enrolled: events };
const choose = (count: number, seed = 1): Point[] => choosePoints({ count, seed, events: both });
const momentOf = ({ after, delay }: Point): number => (after === 0 ? 0 : (events[after - 1]?.at ?? NaN)) + delay;

t.test("a crash point depends only on its number and the seed", async (t) => {
  t.strictSame(choose(20), choose(200).slice(0, 20));
  t.notSame(choose(20), choose(20, 2));
});

t.test("with 200 crash points, every victim is killed after every possible event", async (t) => {
  const points = choose(200).filter(({ start }) => start === "enrolled");
  for (const victim of victims) {
    const after = new Set(points.filter((point) => point.victim === victim).map((point) => point.after));
    const first = victim === "etcd" ? 5 : 0;
    t.strictSame(
      [...after].toSorted((a, b) => a - b),
      Array.from({ length: 8 - first }, (_, index) => first + index),
      victim,
    );
  }
});

t.test("even six crash points are spread over most of the run and include every victim", async (t) => {
  const after = choose(6).map((point) => point.after);
  t.ok(new Set(after).size >= 4, after.join());
  t.strictSame([...new Set(choose(6).map(({ victim }) => victim))].toSorted(), [...victims].toSorted());
});

t.test("half of the crash points are spread evenly over time, so that long gaps are covered", async (t) => {
  const long = choose(200).filter(
    ({ victim, start, after }) => victim === "agent" && start === "enrolled" && after === 5,
  );
  const moments = long.map(momentOf).toSorted((a, b) => a - b);
  t.ok(moments.length > 15, `more than 15 points are in the long gap: ${moments.length}`);
  const gaps = moments.slice(1).map((moment, index) => moment - (moments[index] ?? 0));
  t.ok(Math.max(...gaps) < 2_000, `the points are less than 2000 ms apart: ${Math.max(...gaps)} ms`);
});

t.test(
  "in a run on a bare machine, all crash points precede the node's work, and etcd is killed only while it is running",
  async (t) => {
    for (const point of choose(200)) {
      if (point.start === "bare") t.ok(point.after <= 2 && point.victim !== "etcd", JSON.stringify(point));
      if (point.victim === "etcd") t.ok(point.after >= 5, JSON.stringify(point));
      t.ok(momentOf(point) <= 9_700, "the point is before the end of the run");
    }
  },
);

t.test("a recording that lacks the etcd event is reported as an error", async (t) => {
  const none = { bare: events, enrolled: events.slice(0, 4) };
  t.throws(() => choosePoints({ count: 10, seed: 1, events: none }), /lacks an event/);
});

const nodes = ["controller-0", "controller-1", "controller-2"];
const steps = ["begin", ...nodes.flatMap((node) => [`node ${node} drain`, `node ${node} changed`]), "note verified"];
const rolled = steps.map((name, index) => ({ name, at: 1_000 * (index + 1) }));

t.test(
  "of 45 crash points, 30 are in the upgrade and 15 in its reversal, spread over the rollout and the nodes",
  async (t) => {
    const points = chooseRunningPoints({
      count: 45,
      seed: 1,
      events: { old: rolled, new: rolled },
      nodes,
      starts: ["old", "new", "old"],
    });
    for (const [start, count] of [["old", 30] as const, ["new", 15] as const]) {
      const own = points.filter((point) => point.start === start);
      t.equal(own.length, count);
      t.strictSame([...new Set(own.map(({ node }) => node))].toSorted(), nodes, start);
      t.strictSame([...new Set(own.map(({ victim }) => victim))].toSorted(), ["agent", "client", "machine"], start);
      t.ok(new Set(own.map(({ after }) => after)).size >= 6, "the points follow at least 6 different events");
    }
    t.strictSame(
      new Set(points.slice(0, 4).map(({ victim }) => victim)).size,
      3,
      "the first four points include all three victims",
    );
    const changed = points.filter(({ event, node }) => event.includes(node));
    t.ok(changed.length > 15, `more than 15 points hit the node that changes: ${changed.length}`);
  },
);

t.test("the victim is killed early enough, even if the command is three times as fast", async (t) => {
  const end = events.at(-1)?.at ?? NaN;
  const starts = ["old"] as const;
  const nodes = ["controller-0"];
  for (const point of chooseRunningPoints({ count: 60, seed: 1, events: { old: events }, nodes, starts })) {
    const begun = momentOf({ ...point, delay: 0 });
    t.ok(point.delay <= Math.ceil((end - begun) / 3), `${point.delay} ms after event ${point.after}`);
    t.ok(begun <= end - 500, "no point is in the last half second");
  }
});
