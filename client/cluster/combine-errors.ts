import { type ErrorCode, KhwError } from "../../proto/errors.ts";

export interface Several {
  readonly code: ErrorCode;
  /** What they have in common, before the list. */
  readonly headline: string;
  /** What to do in the end, after each one's own remedy. */
  readonly hint?: string;
}

/** Several errors as one: a line each, with its place and its remedy. */
export function several(errors: readonly KhwError[], { code, headline, hint }: Several): KhwError {
  const lines = errors.map(({ node, step, message, hint: remedy }) => {
    const what = [node, step, message].filter((part) => part !== undefined).join(": ");
    return remedy === undefined ? `  ${what}` : `  ${what} (${remedy})`;
  });
  return new KhwError(code, [`${headline}:`, ...lines].join("\n"), { hint });
}
