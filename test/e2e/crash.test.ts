/**
 * Points of the crash suite (docs/crash-suite.md): a bootstrap, an upgrade or its way back is killed and run again. The
 * files must be the same as after an uninterrupted run.
 */
import t, { type Test } from "tap";

import { formatDifferences } from "../crash/compare.ts";
import type { Point } from "../crash/points.ts";
import { openSuite, type Suite } from "../crash/suite.ts";
import { openUpgradeSuite } from "../crash/upgrade-suite.ts";

const count = 6;

// The two tests spend much of their time waiting, so they run at the same time.
t.jobs = 2;

t.test("a bootstrap that is killed and run again ends with the same files as an uninterrupted bootstrap", async (t) => {
  const testbeds = 2;
  const taken = new Set<number>();
  const work = async (): Promise<void> => {
    await using suite = await openSuite({ quick: true });
    for (const point of suite.points({ count, seed: 1 })) {
      if (taken.has(point.number)) continue;
      taken.add(point.number);
      await crash(t, suite, point);
    }
  };
  await Promise.all(Array.from({ length: testbeds }, work));
  t.equal(taken.size, count);
});

t.test("an upgrade that is killed and run again ends with the same files as an uninterrupted upgrade", async (t) => {
  await using suite = await openUpgradeSuite({ nodes: 1, starts: ["old", "new"], quick: true });
  const points = suite.points({ count, seed: 1 });
  t.equal(points.length, count);
  for (const point of points) await crash(t, suite, point);
});

async function crash(t: Test, suite: Suite, point: Point): Promise<void> {
  const title = `from ${point.start}: ${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
  const { killed, differences, problems } = await suite.crash(point);
  t.ok(killed, `${title}: killed`);
  t.equal(formatDifferences(differences), "", `${title}: the same files`);
  t.strictSame(problems, [], `${title}: the same properties`);
}
