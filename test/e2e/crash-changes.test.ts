/**
 * Interrupts a reset and a key rotation at six points of the crash suite (docs/crash-suite.md), and runs both commands
 * again. The files must be the same as after an uninterrupted run. The agent, the machine and the client are each killed
 * at least once.
 */
import t from "tap";

import { openCommandStage } from "../crash/command-stage.ts";
import { suiteOn } from "../crash/command-suite.ts";
import { formatDifferences } from "../crash/compare.ts";
import { scenarios } from "../crash/scenarios.ts";

/** The number of points of each command. A point of a rotation takes three times as long as a point of a reset. */
const counts = { "encryption-key": 2, reset: 4 } as const;

t.test("a command that is killed and rerun ends with the same files as an uninterrupted command", async (t) => {
  await using stage = await openCommandStage(scenarios.reset);
  const killedVictims = new Set<string>();
  for (const name of ["encryption-key", "reset"] as const) {
    const suite = await suiteOn(stage, name, { quick: true });
    for (const point of suite.points({ count: counts[name], seed: 1 })) {
      const title = `${name}: ${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
      const start = performance.now();
      const { killed, differences, problems } = await suite.crash(point);
      killedVictims.add(point.victim);
      t.ok(killed, `${title}: the process or machine was killed`);
      t.equal(formatDifferences(differences), "", `${title}: the files are the same as without the crash`);
      t.strictSame(problems, [], `${title}: the cluster has all expected properties`);
      t.comment(`${((performance.now() - start) / 1000).toFixed(0)} s`);
    }
  }
  t.strictSame([...killedVictims].toSorted(), ["agent", "client", "machine"]);
});
