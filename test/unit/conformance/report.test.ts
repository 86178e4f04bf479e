import t from "tap";

import type { Outcome } from "../../conformance/outcome.ts";
import { problems, tables } from "../../conformance/report.ts";

const outcome = (name: string, state: Outcome["state"] = "passed", failure = ""): Outcome => ({
  name,
  group: name.split(":")[0] ?? "",
  state,
  seconds: 1,
  failure,
});
const same = { before: ["controller-0 etcd 7 1"], after: ["controller-0 etcd 7 1"] };

t.test("tests are counted by group, excluded tests by reason", async (t) => {
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
