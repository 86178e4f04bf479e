import t from "tap";
import { conclude, refuseFindings } from "../../../../client/cluster/combine-errors.ts";
import { KhwError } from "../../../../proto/errors.ts";

const busy = new KhwError("BUSY", "jane is at it", { node: "controller-0", hint: "wait" });
const absent = new KhwError("UNREACHABLE", "no answer", { node: "controller-1" });

t.test("without errors, nothing is thrown", async (t) => {
  t.doesNotThrow(() => conclude([], { done: 3, headline: "not done" }));
  t.doesNotThrow(() => refuseFindings([]));
});

t.test("a single error is thrown unchanged if no node has succeeded", async (t) => {
  t.throws(() => conclude([busy], { done: 0, headline: "not done" }), busy);
  t.throws(() => refuseFindings([busy]), busy);
});

t.test("errors on some nodes are reported as a partial success if other nodes have succeeded", async (t) => {
  t.throws(() => conclude([busy], { done: 1, headline: "not done", hint: "again" }), {
    code: "PARTIAL",
    message: "not done:\n  controller-0: jane is at it (wait)",
    hint: "again",
  });
});

t.test("nodes with the same error are listed on a single line", async (t) => {
  const others = ["controller-1", "controller-2"].map(
    (node) => new KhwError("BUSY", busy.message, { node, hint: "wait" }),
  );
  t.throws(() => refuseFindings([busy, absent, ...others]), {
    message:
      "nothing was changed:\n  controller-0, controller-1, controller-2: jane is at it (wait)\n  controller-1: no answer",
  });
});

t.test("all findings are reported in a single error with the code of the first finding", async (t) => {
  t.throws(() => refuseFindings([busy, absent]), {
    code: "BUSY",
    message: "nothing was changed:\n  controller-0: jane is at it (wait)\n  controller-1: no answer",
  });
});
