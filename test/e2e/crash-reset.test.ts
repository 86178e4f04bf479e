/**
 * Interrupts a reset at six points of the crash suite (docs/crash-suite.md), and runs it again. The machine must then be
 * the same as before its bootstrap.
 */
import t from "tap";

import { openCommandSuite } from "../crash/command-suite.ts";
import { formatDifferences } from "../crash/compare.ts";

const count = 6;

t.test("a reset that is killed and rerun leaves the machine as it was before the bootstrap", async (t) => {
  await using suite = await openCommandSuite("reset", { quick: true });
  const points = suite.points({ count, seed: 1 });
  t.strictSame([...new Set(points.map(({ victim }) => victim))].toSorted(), ["agent", "client", "machine"]);
  for (const point of points) {
    const title = `${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
    const { killed, differences, problems } = await suite.crash(point);
    t.ok(killed, `${title}: the process or machine was killed`);
    t.equal(formatDifferences(differences), "", `${title}: the files are the same as before the bootstrap`);
    t.strictSame(problems, [], `${title}: the machine has all expected properties`);
  }
});
