import t from "tap";

import { parseOutcomes } from "../../conformance/outcome.ts";

/** Returns a line in Ginkgo's format. */
function line(state: number, failure: { readonly Message?: string; readonly ForwardedPanic?: string } = {}): string {
  return `${JSON.stringify({
    ComponentTexts: ["[Top Level]", "[sig-network] Services", "should be  found  [Conformance]"],
    State: state,
    RunTime: 1_500_000_000,
    Failure: { Message: "", ForwardedPanic: "", ...failure },
    SuiteID: "",
  })}\n`;
}

t.test("a result line has the upstream name of the test, its group, its state and its time", async (t) => {
  t.strictSame(parseOutcomes(line(3)), [
    {
      name: "[sig-network] Services should be  found  [Conformance]",
      group: "[sig-network] Services",
      state: "passed",
      seconds: 1.5,
      failure: "",
    },
  ]);
});

t.test("a failed, panicked, timed-out or unknown state counts as a failure", async (t) => {
  const dump = line(4, { Message: "no" }) + line(5, { Message: "Test Panicked", ForwardedPanic: "nil map" }) + line(6);
  t.strictSame(
    parseOutcomes(dump + line(0) + line(9)).map(({ state }) => state),
    Array.from({ length: 5 }, () => "failed"),
  );
  t.equal(parseOutcomes(dump)[1]?.failure, "Test Panicked\nnil map");
});

t.test("a pending test counts as skipped", async (t) => {
  t.strictSame(
    parseOutcomes(line(1) + line(2)).map(({ state }) => state),
    ["skipped", "skipped"],
  );
});

t.test("a truncated line is an error", async (t) => {
  t.throws(() => parseOutcomes(line(3) + line(3).slice(0, 40)), SyntaxError);
});
