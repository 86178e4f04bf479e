/**
 * Kills a bootstrap at six points of the crash suite (docs/crash-suite.md) and runs it again. The files must be the
 * same as after an uninterrupted run.
 */
import t from "tap";

import { formatDifferences } from "../crash/compare.ts";
import { openSuite } from "../crash/suite.ts";

const count = 6;
const testbeds = 1;

t.test("a bootstrap that is killed and rerun ends with the same files as an uninterrupted bootstrap", async (t) => {
  const taken = new Set<number>();
  const work = async (): Promise<void> => {
    await using suite = await openSuite({ quick: true });
    for (const point of suite.points({ count, seed: 1 })) {
      if (taken.has(point.number)) continue;
      taken.add(point.number);
      const title = `${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
      const { killed, differences, problems } = await suite.crash(point);
      t.ok(killed, `${title}: the victim was killed`);
      t.equal(formatDifferences(differences), "", `${title}: the files are the same as without the crash`);
      t.strictSame(problems, [], `${title}: the cluster has all expected properties`);
    }
  };
  await Promise.all(Array.from({ length: testbeds }, work));
  t.equal(taken.size, count);
});
