import { mapStrings, oneLine } from "../../../proto/sanitize.ts";

/** A fault in a credential file. It never quotes the file's contents. */
export interface Problem {
  /** The file's name. */
  readonly file: string;
  /** The field in the file, for example "subjectAltName"; if absent, the problem is about the file as a whole. */
  readonly field?: string;
  readonly what: string;
  readonly remedy: string;
  /** "warning" means that the cluster works despite the fault. If absent, the fault keeps the cluster from working. */
  readonly severity?: "warning";
}

/** A check, which yields the faults that it finds, and returns the data that it could still read. */
export type Findings<T = void> = Generator<Problem, T, void>;

/**
 * Runs a check. Returns its result and all findings. Sanitizes the text of the findings, because a file may contain
 * untrusted names.
 */
export function collect<T>(findings: Findings<T>): { readonly problems: readonly Problem[]; readonly result: T } {
  const problems: Problem[] = [];
  for (;;) {
    const next = findings.next();
    if (next.done === true) return { problems, result: next.value };
    problems.push(mapStrings(next.value, oneLine));
  }
}

/** Describes a problem as "kubernetes.pem: notAfter: expires in 12 days": the file, the field and the fault. */
export function formatProblem({ file, field, what }: Problem): string {
  return [file, field, what].filter((part) => part !== undefined).join(": ");
}
