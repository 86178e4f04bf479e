import t from "tap";

import type { Outcome } from "../../conformance/outcome.ts";
import { problems, summary, tables } from "../../conformance/report.ts";

const outcome = (name: string, state: Outcome["state"] = "passed", failure = ""): Outcome => ({
  name,
  group: name.split(":")[0] ?? "",
  state,
  seconds: 1,
  failure,
});
const same = { before: ["controller-0 etcd 7 1"], after: ["controller-0 etcd 7 1"] };

t.test("tests are counted by group, and excluded tests are counted by reason", async (t) => {
  const specs = { run: [], leftOut: [{ reason: "needs a kubelet", names: ["x", "y"] }] };
  t.equal(
    tables([outcome("b: 1"), outcome("a: 1"), outcome("b: 2", "failed")], specs),
    `| tests | run | passed |
|---|---:|---:|
| a | 1 | 1 |
| b | 2 | 1 |

| left out | tests |
|---|---:|
| needs a kubelet | 2 |
`,
  );
});

t.test("a run in which all tests pass reports no problems", async (t) => {
  t.strictSame(problems(["a: 1"], [outcome("a: 1")], same), []);
});

t.test("a failure, a test that did not run and a restarted process are problems", async (t) => {
  const processes = { ...same, after: ["controller-0 etcd 8 2"] };
  t.strictSame(problems(["a: 1", "b: 1"], [outcome("a: 1", "failed", "why")], processes), [
    "failed: a: 1\nwhy",
    "did not run: b: 1",
    "started again during the run: controller-0 etcd 8 2",
  ]);
});

t.test("the summary states how many tests ran, how many passed and how many were left out", async (t) => {
  const outcomes = [
    { ...outcome("a: 1"), seconds: 90 },
    { ...outcome("a: 2", "failed"), seconds: 90 },
  ];
  const text = summary(outcomes, 5, { lanes: 3, machine: "a machine" });
  t.match(text, "has 5 [Conformance] tests. 1 of the 2 tests that were run passed;");
  t.match(text, "3 were left out. The tests took 3 minutes together; up to 3 ran at the same time.");
  t.match(text, "Machine: a machine.");
});
