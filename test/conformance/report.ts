/** Builds the tables in docs/conformance.md. */
import type { Outcome } from "./outcome.ts";
import type { Classification } from "./specs.ts";

/** Returns two tables: the number of passed tests per group, and the number of excluded tests per reason. */
export function tables(outcomes: readonly Outcome[], { leftOut }: Classification): string {
  const groups = Map.groupBy(outcomes, ({ group }) => group.trim());
  const ran = [...groups]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([group, of]) => `| ${group} | ${of.length} | ${of.filter(({ state }) => state === "passed").length} |`);
  const out = leftOut.map(({ reason, names }) => `| ${reason} | ${names.length} |`);
  const lines = [
    "| tests | run | passed |",
    "|---|---:|---:|",
    ...ran,
    "",
    "| left out | tests |",
    "|---|---:|",
    ...out,
  ];
  return `${lines.join("\n")}\n`;
}

/** Returns the sentences that follow the tables. */
export function summary(
  outcomes: readonly Outcome[],
  total: number,
  { lanes, machine }: { readonly lanes: number; readonly machine: string },
): string {
  const passed = outcomes.filter(({ state }) => state === "passed").length;
  const minutes = outcomes.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  return `Kubernetes 1.20.2 has ${total} [Conformance] tests. ${passed} of the ${outcomes.length} tests that were run passed;
${total - outcomes.length} were left out. The tests took ${minutes.toFixed(0)} minutes together; up to ${lanes} ran at the same time.
Machine: ${machine}.
`;
}

/** Lists the problems in a run: tests that failed or did not run, and processes that were restarted. */
export function problems(
  wanted: readonly string[],
  outcomes: readonly Outcome[],
  processes: { readonly before: readonly string[]; readonly after: readonly string[] },
): readonly string[] {
  const ran = new Set(outcomes.map(({ name }) => name));
  return [
    ...outcomes
      .filter(({ state }) => state !== "passed")
      .map(({ name, state, failure }) => `${state}: ${name}\n${failure}`),
    ...wanted.filter((name) => !ran.has(name)).map((name) => `did not run: ${name}`),
    ...processes.after
      .filter((process) => !processes.before.includes(process))
      .map((process) => `started again during the run: ${process}`),
  ];
}
