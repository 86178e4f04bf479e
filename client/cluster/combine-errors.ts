import { type ErrorCode, KhwError } from "../../proto/errors.ts";

export interface Several {
  readonly code: ErrorCode;
  /** Describes all errors; printed before the list. */
  readonly headline: string;
  /** Printed after the list; each error's own hint is on its line. */
  readonly hint?: string;
}

/** Combines errors into one: a line for each, with its place and its hint. */
export function several(errors: readonly KhwError[], { code, headline, hint }: Several): KhwError {
  const lines = errors.map(({ node, step, message, hint: remedy }) => {
    const what = [node, step, message].filter((part) => part !== undefined).join(": ");
    return remedy === undefined ? `  ${what}` : `  ${what} (${remedy})`;
  });
  return new KhwError(code, [`${headline}:`, ...lines].join("\n"), { hint });
}

export interface ConcludeOptions extends Omit<Several, "code"> {
  /** The number of nodes that are done. */
  readonly done: number;
}

/**
 * Throws the errors of a run as one; does nothing without errors. The code is PARTIAL if some nodes are done, otherwise that of
 * the first error. A single error of a run that did nothing is thrown as it is.
 */
export function conclude(errors: readonly KhwError[], { done, ...texts }: ConcludeOptions): void {
  const [first, ...others] = errors;
  if (first === undefined) return;
  if (others.length === 0 && done === 0) throw first;
  throw several(errors, { code: done > 0 ? "PARTIAL" : first.code, ...texts });
}

/** Throws every reason not to begin as one error; does nothing without a reason. */
export function refuseFindings(findings: readonly KhwError[], headline = "nothing was touched"): void {
  conclude(findings, { done: 0, headline });
}
