import { join } from "node:path";
import t from "tap";

import { describe, summary } from "../../crash/report.ts";
import { addResult, lastResults, readResults, type Result } from "../../crash/results.ts";

const result = (changes: Partial<Result> = {}): Result => ({
  number: 1,
  start: "enrolled",
  victim: "agent",
  node: "controller-0",
  after: 3,
  event: "begin",
  delay: 20,
  verdict: "identical",
  killedAfter: "begin",
  runs: [
    { code: 3, seconds: 2, said: "" },
    { code: 0, seconds: 9, said: "" },
  ],
  seconds: 30,
  found: [],
  seed: 1,
  commit: "abc",
  at: "2026-11-28T03:00:00.000Z",
  ...changes,
});

t.test("a missing results file gives no results, and the last result of each crash point is used", async (t) => {
  const path = join(t.testdir(), "build/crash.jsonl");
  t.strictSame(await readResults(path), []);
  for (const each of [result({ verdict: "differs" }), result({ seed: 2, verdict: "failed" }), result()]) {
    await addResult(path, each);
  }
  const results = await readResults(path);
  t.equal(results.length, 3);
  t.strictSame([...lastResults(results, 1)], [[1, result()]]);
});

t.test("the summary has a row for each victim and a row for all victims", async (t) => {
  const results = [result(), result({ number: 2, victim: "etcd", verdict: "differs", seconds: 40, commit: "def" })];
  t.equal(
    summary(results),
    `| killed | points | identical | differs | failed | missed | median time |
|---|---:|---:|---:|---:|---:|---:|
| agent | 1 | 1 | 0 | 0 | 0 | 30 s |
| etcd | 1 | 0 | 1 | 0 | 0 | 40 s |
| all | 2 | 1 | 1 | 0 | 0 | 40 s |

Points by commit: abc 1, def 1.
`,
  );
});

t.test("a crash point with differences is shown with the details", async (t) => {
  const differing = result({ verdict: "differs", found: ["@@ /etc\n-d 755\n+d 700\n"] });
  t.equal(
    describe(differing),
    `point 1: agent of controller-0 killed 20 ms after event 3 (begin), enrolled; exit codes 3, 0; 30 s: differs
    @@ /etc
    -d 755
    +d 700
`,
  );
});
