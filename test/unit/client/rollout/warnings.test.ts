import t from "tap";
import { describeWarnings } from "../../../../client/rollout/warnings.ts";
import { KhwError } from "../../../../proto/errors.ts";

const warning = (node: string, message: string, hint = "mend it"): KhwError =>
  new KhwError("PREFLIGHT_FAILED", message, { node, step: "preflight", hint });

t.test("three identical warnings are merged into a single warning that names all three nodes", async (t) => {
  const warnings = ["a", "b", "c"].map((node) => warning(node, "too small"));
  t.strictSame(describeWarnings(warnings), ["a, b, c: preflight: too small\nhint: mend it"]);
});

t.test("warnings that differ only in their numbers are merged, with a line per node and a common remedy", async (t) => {
  t.strictSame(describeWarnings([warning("a", "on disk after 23.4 ms"), warning("b", "on disk after 31 ms")]), [
    "a, b: preflight: the same problem, with different figures:\n  a: on disk after 23.4 ms\n  b: on disk after 31 ms\nhint: mend it",
  ]);
});

t.test("different warnings are kept separate, and an empty list of warnings produces no text", async (t) => {
  t.equal(describeWarnings([warning("a", "one"), warning("a", "two"), warning("b", "one", "other")]).length, 3);
  t.strictSame(describeWarnings([]), []);
});
