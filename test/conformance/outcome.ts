/**
 * Reads the results that e2e.test writes with --spec-dump: one line of JSON per test, even for tests that did not run.
 */

/** The result of a test. */
export interface Outcome {
  /** The full upstream name, which e2e.test's focus expression has to match. */
  readonly name: string;
  /** The name of the outermost group: "[sig-api-machinery] Watchers". */
  readonly group: string;
  readonly state: "skipped" | "passed" | "failed";
  readonly seconds: number;
  /** Why the test failed; empty if it did not fail. */
  readonly failure: string;
}

/**
 * The states that correspond to the values of Ginkgo's SpecState, in the same order. Panics and timeouts count as
 * failures. Pending tests are disabled upstream and count as skipped.
 */
const states = ["failed", "skipped", "skipped", "passed", "failed", "failed", "failed"] as const;

/** The fields of Ginkgo's SpecSummary that this module reads. */
interface SpecSummary {
  /** The name of the suite, the names of the groups (outermost first) and the name of the test. */
  readonly ComponentTexts: readonly string[];
  readonly State: number;
  /** The duration in nanoseconds. */
  readonly RunTime: number;
  readonly Failure: { readonly Message: string; readonly ForwardedPanic: string };
}

/** Parses the whole file. A truncated line is an error, because it means that the program crashed. */
export function parseOutcomes(dump: string): readonly Outcome[] {
  return dump
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { ComponentTexts: texts, State, RunTime, Failure }: SpecSummary = JSON.parse(line);
      return {
        name: texts.slice(1).join(" "),
        group: texts[1] ?? "",
        state: states[State] ?? "failed",
        seconds: RunTime / 1e9,
        failure: [Failure.Message, Failure.ForwardedPanic].filter((part) => part !== "").join("\n"),
      };
    });
}
