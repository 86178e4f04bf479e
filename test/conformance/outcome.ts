/** The results that e2e.test writes with --spec-dump: a line of JSON for each test, run or not. */

/** How one test ended. */
export interface Outcome {
  /** Upstream's full name, as its focus expression has to match it. */
  readonly name: string;
  /** The name of the outermost group: "[sig-api-machinery] Watchers". */
  readonly group: string;
  readonly state: "skipped" | "passed" | "failed";
  readonly seconds: number;
  /** Why it failed; empty otherwise. */
  readonly failure: string;
}

/** Ginkgo's SpecState. A panic and a time-out are failures as well; a pending test is one that upstream has switched off. */
const states = ["failed", "skipped", "skipped", "passed", "failed", "failed", "failed"] as const;

/** Ginkgo's SpecSummary, as far as it is read. */
interface SpecSummary {
  /** The suite, the groups from the outermost on, and the test. */
  readonly ComponentTexts: readonly string[];
  readonly State: number;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly Failure: { readonly Message: string; readonly ForwardedPanic: string };
}

/** Reads the whole file. A line that is cut off, since the program died, is an error. */
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
