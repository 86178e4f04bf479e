/**
 * Interrupts a reset and a key rotation at six points of the crash suite (docs/crash-suite.md), and runs both commands
 * again. The files must be the same as after an uninterrupted run. During each command, the agent, the machine and the
 * client are killed once each.
 */
import t from "tap";

import { openCommandStage } from "../crash/command-stage.ts";
import { suiteOn } from "../crash/command-suite.ts";
import { formatDifferences } from "../crash/compare.ts";
import { scenarios } from "../crash/scenarios.ts";

const count = 3;

t.test("a command that is killed and rerun ends with the same files as an uninterrupted command", async (t) => {
  await using stage = await openCommandStage(scenarios.reset);
  for (const name of ["encryption-key", "reset"] as const) {
    const suite = await suiteOn(stage, name, { quick: true });
    const points = suite.points({ count, seed: 1 });
    t.equal(new Set(points.map(({ victim }) => victim)).size, count);
    for (const point of points) {
      const title = `${name}: ${point.victim}, ${point.delay} ms after event ${point.after} (${point.event})`;
      const start = performance.now();
      const { killed, differences, problems } = await suite.crash(point);
      t.ok(killed, `${title}: the process or machine was killed`);
      t.equal(formatDifferences(differences), "", `${title}: the files are the same as without the crash`);
      t.strictSame(problems, [], `${title}: the cluster has all expected properties`);
      t.comment(`${((performance.now() - start) / 1000).toFixed(0)} s`);
    }
  }
});
