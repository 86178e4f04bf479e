import { mapStrings, oneLine } from "../../../proto/sanitize.ts";

/** What is wrong with a credential file; never holds a part of its content. */
export interface Problem {
  /** The file's name. */
  readonly file: string;
  /** The field in it, for example "subjectAltName"; absent: the file as a whole. */
  readonly field?: string;
  readonly what: string;
  readonly remedy: string;
  /** "warning": the cluster works in spite of it; absent: it would not. */
  readonly severity?: "warning";
}

/** Yields what is wrong, and returns what could be read in spite of it. */
export type Findings<T = void> = Generator<Problem, T, void>;

/** All that a check finds, its texts sanitized (names in a file are anybody's), and its result. */
export function collect<T>(findings: Findings<T>): { readonly problems: readonly Problem[]; readonly result: T } {
  const problems: Problem[] = [];
  for (;;) {
    const next = findings.next();
    if (next.done === true) return { problems, result: next.value };
    problems.push(mapStrings(next.value, oneLine));
  }
}

/** "kubernetes.pem: notAfter: ends in 12 days": the file, the field, and what is wrong with it. */
export function tellProblem({ file, field, what }: Problem): string {
  return [file, field, what].filter((part) => part !== undefined).join(": ");
}
