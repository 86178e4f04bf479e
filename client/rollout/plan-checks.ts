import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import type { Progress } from "../progress/progress.ts";
import { downloadPrograms } from "./download.ts";
import { inspectCluster } from "./findings.ts";
import { noMembership } from "./membership.ts";
import type { Prepared, ReleaseConsent } from "./plan.ts";
import { readTrials } from "./trial.ts";

/**
 * The results of the checks that run before a rollout. The `plan` command shows them, and must continue despite
 * findings.
 */
export interface PlanChecks {
  readonly findings: readonly KhwError[];
  readonly warnings: readonly KhwError[];
  /** The checks that did not run, each with the reason. */
  readonly skipped: readonly string[];
}

export interface PlanChecksOptions extends ReleaseConsent {
  /** Whether the caller's certificate has the role admin. For other callers, these checks do not run. */
  readonly isAdministrator: boolean;
  readonly signal: AbortSignal;
}

type PlanChecksInput = Pick<Prepared, "work" | "admin" | "running" | "releases" | "releaseObstacles"> &
  Partial<Pick<Prepared, "membership">>;

/** Reports nothing, because `plan` prints all of its results at the end. */
export const silent: Progress = { emit: () => {}, settled: async () => {} };

/**
 * Runs every check that `bootstrap` runs before it changes anything. These are the preflight, the checks of the API and
 * etcd, and the trial runs of the new programs. Downloads the programs for the trial runs, but changes nothing else.
 */
export async function planChecks(
  cluster: Pick<OpenCluster, "config" | "members">,
  { work, admin, running, releases, releaseObstacles, membership = noMembership }: PlanChecksInput,
  { isAdministrator, allowRemovedApis = false, signal }: PlanChecksOptions,
): Promise<PlanChecks> {
  if (!isAdministrator) {
    const all = "the preflight, kubelets, removed APIs, stored versions and the flags of new programs";
    return {
      findings: [],
      warnings: [],
      skipped: [`${all} were not checked, because these checks require the role admin`],
    };
  }
  const checks = { work, admin, running, wanted: releases.kubernetes, allowRemovedApis };
  const { findings, warnings, restarting } = await inspectCluster(cluster.members, checks, signal);
  if (findings.length + releaseObstacles.length > 0) {
    const skipped = ["the flags of new programs were not checked; correct the other findings first"];
    return { findings, warnings, skipped };
  }
  try {
    await downloadPrograms(cluster, { work, restarting, membership }, { progress: silent, signal });
    const trials = await readTrials(work, signal);
    return { findings: trials.findings, warnings: [...warnings, ...trials.warnings], skipped: [] };
  } catch (thrown) {
    signal.throwIfAborted();
    return { findings: [toKhwError(thrown)], warnings, skipped: [] };
  }
}
