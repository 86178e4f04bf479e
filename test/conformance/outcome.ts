/** Reads the results that e2e.test writes with --spec-dump: a line of JSON for each test, whether it ran or not. */

/** The result of a test. */
export interface Outcome {
  /** Upstream's full name, as e2e.test's focus expression must match it. */
  readonly name: string;
  /** The name of the outermost group: "[sig-api-machinery] Watchers". */
  readonly group: string;
  readonly state: "skipped" | "passed" | "failed";
  readonly seconds: number;
  /** Why the test failed; empty if it did not fail. */
  readonly failure: string;
}

/**
 * The states in the order of Ginkgo's SpecState. Panics and time-outs count as failures. Pending tests are disabled
 * upstream.
 */
const states = ["failed", "skipped", "skipped", "passed", "failed", "failed", "failed"] as const;

/** The fields of Ginkgo's SpecSummary that are read. */
interface SpecSummary {
  /** The names of the suite, of the groups (the outermost first) and of the test. */
  readonly ComponentTexts: readonly string[];
  readonly State: number;
  /** The duration in nanoseconds. */
  readonly RunTime: number;
  readonly Failure: { readonly Message: string; readonly ForwardedPanic: string };
}

/** Reads the whole file. A truncated line is an error: the program died. */
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
