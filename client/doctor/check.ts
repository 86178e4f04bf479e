import { KhwError, toKhwError } from "../../proto/errors.ts";
import { mapStrings, paragraph } from "../../proto/sanitize.ts";

/** Worst first. */
export const severities = ["error", "warning", "note"] as const;
export type Severity = (typeof severities)[number];

/** Something that a person should know of. */
export interface Finding {
  readonly severity: Severity;
  /** A node's name, or one of `places`. */
  readonly where: string;
  /** The component, file, resource or step that it is about. */
  readonly subject: string;
  readonly message: string;
  /** What to do, a command where there is one; empty where nothing is to be done. */
  readonly remedy: string;
}

/** Where findings are that are no one node's. */
export const places = { workstation: "workstation", cluster: "cluster", loadBalancer: "load balancer" } as const;

/** One thing to look at. */
export interface DoctorCheck {
  readonly where: string;
  /** The truth that it looks for, in words. */
  readonly title: string;
  /** Everything that speaks against it; rejects when it could not find out. */
  readonly run: (signal: AbortSignal) => Promise<readonly Finding[]>;
}

/** A check that found nothing, one that found something, or one that could not find out, and why. */
export type CheckResult = { readonly where: string; readonly title: string } & (
  | { readonly outcome: "passed" }
  | { readonly outcome: "found"; readonly findings: readonly Finding[] }
  | { readonly outcome: "not run"; readonly reason: KhwError }
);

export interface RunChecksOptions {
  readonly signal: AbortSignal;
  /** For each check. */
  readonly deadlineMillis: number;
}

/** All checks at once; the results in their order, their texts sanitized: files of the workstation are among the sources. Never rejects for a check's failure, nor waits for one that does not end. */
export async function runChecks(
  checks: readonly DoctorCheck[],
  { signal, deadlineMillis }: RunChecksOptions,
): Promise<CheckResult[]> {
  return Promise.all(
    checks.map(async ({ where, title, run }): Promise<CheckResult> => {
      const ending = new AbortController();
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        late.reject(new KhwError("TIMEOUT", `it was not done after ${deadlineMillis / 1000} s`));
        ending.abort();
      }, deadlineMillis);
      try {
        const findings = await Promise.race([run(AbortSignal.any([signal, ending.signal])), late.promise]);
        return findings.length === 0
          ? { where, title, outcome: "passed" }
          : { where, title, outcome: "found", findings: mapStrings(findings, paragraph) };
      } catch (thrown) {
        return { where, title, outcome: "not run", reason: toKhwError(thrown) };
      } finally {
        clearTimeout(timer);
      }
    }),
  );
}

/** The findings of all checks, worst first, and in the order of the checks among equals. */
export function ranked(results: readonly CheckResult[]): Finding[] {
  const findings = results.flatMap((result) => (result.outcome === "found" ? result.findings : []));
  return severities.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
}

/** An error that is itself what a check has found. */
export function findingOf(error: KhwError, where: string, subject = ""): Finding {
  const { message, hint = "", step = "" } = error;
  return { severity: "error", where, subject: step || subject, message, remedy: hint };
}
