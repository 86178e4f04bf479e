/**
 * Kills a bootstrap at six points of the crash suite (docs/crash-suite.md) and runs it again. The files must be the
 * same as after an uninterrupted run.
 */
import t from "tap";

import { formatDifferences } from "../crash/compare.ts";
import { openSuite } from "../crash/suite.ts";

const count = 6;

t.test("a bootstrap that is killed and rerun ends with the same files as an uninterrupted bootstrap", async (t) => {
  await using suite = await openSuite({ quick: true });
  const points = suite.points({ count, seed: 1 });
  t.equal(points.length, count);
  for (const point of points) {
    const title = `${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
    const { killed, differences, problems } = await suite.crash(point);
    t.ok(killed, `${title}: the victim was killed`);
    t.equal(formatDifferences(differences), "", `${title}: the files are the same as without the crash`);
    t.strictSame(problems, [], `${title}: the cluster has all expected properties`);
  }
});
