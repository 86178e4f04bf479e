/** Six points of the crash suite (docs/crash-suite.md): a bootstrap that is killed and run again ends with the same files. */
import t from "tap";

import { formatDifferences } from "../crash/compare.ts";
import { choosePoints } from "../crash/points.ts";
import { openSuite } from "../crash/suite.ts";

const count = 6;

t.test("a bootstrap that is killed and run again ends with the files of one that is not", async (t) => {
  await using suite = await openSuite();
  // The first six have each of the victims.
  for (const point of choosePoints({ count, seed: 1, events: suite.events })) {
    const title = `${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
    const { killed, differences, problems } = await suite.crash(point);
    t.ok(killed, `${title}: killed`);
    t.equal(formatDifferences(differences), "", `${title}: the same files`);
    t.strictSame(problems, [], `${title}: the same properties`);
  }
});
