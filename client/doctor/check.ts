import { KhwError, toKhwError } from "../../proto/errors.ts";
import { mapStrings, paragraph } from "../../proto/sanitize.ts";

/** The severities, worst first. */
export const severities = ["error", "warning", "note"] as const;
export type Severity = (typeof severities)[number];

/** A problem or fact that the user should know about. */
export interface Finding {
  readonly severity: Severity;
  /** A node's name, or one of `places`. */
  readonly where: string;
  /** The component, file, resource or step that the finding is about. */
  readonly subject: string;
  readonly message: string;
  /** The remedy, a command if possible; empty if nothing needs to be done. */
  readonly remedy: string;
}

/** The values of `where` for findings that are not about a single node. */
export const places = { workstation: "workstation", cluster: "cluster", loadBalancer: "load balancer" } as const;

/** A single check. */
export interface DoctorCheck {
  readonly where: string;
  /** The fact that the check confirms, in plain English. */
  readonly title: string;
  /** Returns the findings that contradict the fact; rejects if the check cannot run. */
  readonly run: (signal: AbortSignal) => Promise<readonly Finding[]>;
}

/** The result of a check: it passed, it has findings, or it did not run (with the reason). */
export type CheckResult = { readonly where: string; readonly title: string } & (
  | { readonly outcome: "passed" }
  | { readonly outcome: "found"; readonly findings: readonly Finding[] }
  | { readonly outcome: "not run"; readonly reason: KhwError }
);

export interface RunChecksOptions {
  readonly signal: AbortSignal;
  /** The time limit of each check. */
  readonly deadlineMillis: number;
}

/**
 * Runs all checks at once. Returns the results in the order of the checks. Sanitizes the findings' text, because some
 * text comes from files on the workstation. Does not reject if a check fails, and never waits beyond a check's time
 * limit.
 */
export async function runChecks(
  checks: readonly DoctorCheck[],
  { signal, deadlineMillis }: RunChecksOptions,
): Promise<CheckResult[]> {
  return Promise.all(
    checks.map(async ({ where, title, run }): Promise<CheckResult> => {
      const ending = new AbortController();
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        late.reject(new KhwError("TIMEOUT", `the check did not finish within ${deadlineMillis / 1000} s`));
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

/** Returns the findings of all checks, worst first. Equally severe findings are in the order of the checks. */
export function ranked(results: readonly CheckResult[]): Finding[] {
  const findings = results.flatMap((result) => (result.outcome === "found" ? result.findings : []));
  return severities.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
}

/** Turns an error into a finding. */
export function findingOf(error: KhwError, where: string, subject = ""): Finding {
  const { message, hint = "", step = "" } = error;
  return { severity: "error", where, subject: step || subject, message, remedy: hint };
}
