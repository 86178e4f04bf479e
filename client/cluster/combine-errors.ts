import { type ErrorCode, KhwError } from "../../proto/errors.ts";
import { joinPlaces } from "../terminal/group-lines.ts";

export interface CombineErrorsOptions {
  readonly code: ErrorCode;
  /** A headline for all errors, which is printed before the list of errors. */
  readonly headline: string;
  /** The hint printed after the list. Each error's own hint is on the error's line. */
  readonly hint?: string;
}

/**
 * Combines errors into a single error with one line per error. Each line has the node, the step, the message and the
 * hint. Nodes with the same error share a line.
 */
export function combineErrors(errors: readonly KhwError[], { code, headline, hint }: CombineErrorsOptions): KhwError {
  const same = Map.groupBy(errors, (error) => JSON.stringify([error.step, error.message, error.hint]));
  const lines = [...same.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : `  ${describeError(first, group)}`;
  });
  return new KhwError(code, [`${headline}:`, ...lines].join("\n"), { hint });
}

/** Describes an error and names all nodes that have it. */
function describeError({ step, message, hint }: KhwError, group: readonly KhwError[]): string {
  const nodes = joinPlaces(group.flatMap(({ node }) => node ?? []));
  const text = [nodes, step, message].filter((part) => part !== undefined && part !== "").join(": ");
  return hint === undefined ? text : `${text} (${hint})`;
}

export interface ConcludeOptions extends Omit<CombineErrorsOptions, "code"> {
  /** The number of nodes on which the work was completed. */
  readonly done: number;
}

/**
 * Throws the errors of a run as a single error; does nothing if there are no errors. The code is PARTIAL if some nodes
 * are done, or if the run stopped before it reached every node. Otherwise, it is the first error's code. If no node is
 * done and there is only one error, that error is thrown unchanged.
 */
export function conclude(errors: readonly KhwError[], { done, ...texts }: ConcludeOptions): void {
  const [first, ...others] = errors;
  if (first === undefined) return;
  if (others.length === 0 && done === 0) throw first;
  const partial = done > 0 || errors.some(({ code }) => code === "SKIPPED");
  throw combineErrors(errors, { code: partial ? "PARTIAL" : first.code, ...texts });
}

/** Throws a single error that lists all reasons not to start; does nothing if there are no reasons. */
export function refuseFindings(findings: readonly KhwError[], headline = "nothing was changed"): void {
  conclude(findings, { done: 0, headline });
}
