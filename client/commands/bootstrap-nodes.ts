import type { KhwError } from "../../proto/errors.ts";
import { conclude } from "../cluster/combine-errors.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { enrolWaitingAgents } from "../enrolment/enrol-waiting-agents.ts";
import { renewDue } from "../enrolment/renew-due.ts";
import { parseAllowed } from "../manifests/allow-prune.ts";
import { applyManifests } from "../manifests/manifests.ts";
import { readManifests } from "../manifests/read.ts";
import { provideManagement } from "../pki/management/management.ts";
import { note, type Progress, type ProgressOptions } from "../progress/progress.ts";
import { changedReleaseObstacles } from "../release/unchanged.ts";
import { applyPlan, applyRbac } from "../rollout/apply.ts";
import { saveNewCredentials } from "../rollout/credentials.ts";
import { downloadPrograms } from "../rollout/download.ts";
import { joinEtcd } from "../rollout/join.ts";
import { planRollout, type PlanRolloutOptions, type Prepared, type RolloutPlan } from "../rollout/plan.ts";
import { tryPrograms } from "../rollout/trial.ts";
import { findUnhealthy, startConfiguredUpgrade } from "../upgrade/configured.ts";
import type { UpgradeRun } from "../upgrade/run.ts";
import { verifyCluster } from "../verify/verification.ts";

export interface BootstrapNodesOptions extends Pick<
  PlanRolloutOptions,
  "allowDowngrade" | "allowRemovedApis" | "joining"
> {
  /** Whether to leave a failed node as it is, for inspection. */
  readonly noRollback: boolean;
  /** Whether the manifests overwrite fields that other field managers have set to different values. */
  readonly forceConflicts: boolean;
  /**
   * The values of --allow-prune: objects from manifests that may be deleted together with everything that they contain.
   */
  readonly allowPrune: readonly string[];
}

/** Runs the phases of `bootstrap`. Returns the cluster's public address; undefined if Ctrl-C stopped the work. */
export async function bootstrapNodes(
  config: ClusterConfig,
  { progress, signal }: ProgressOptions,
  { noRollback, forceConflicts, allowPrune, ...consent }: BootstrapNodesOptions,
): Promise<string | undefined> {
  const options = { progress, signal };
  const pruning = { forceConflicts, allowed: parseAllowed(allowPrune) };
  const manifests = await readManifests(config);
  const created = await provideManagement(config.management);
  for (const path of created) note(progress, `${path}: created, for this client and the agents`);
  await using opened = await openCluster(config, signal);
  const cluster = await enrolWaitingAgents(opened, options);
  await renewDue(cluster, options);
  const planning = {
    mayCreateAddress: true,
    newCredentials: "keep",
    unreachable: "skip",
    ...consent,
  } as const;
  // A replacement must not change the release of the other controllers.
  const find = async (prepared: Prepared): Promise<readonly KhwError[]> =>
    consent.joining === "replace"
      ? changedReleaseObstacles(config, prepared)
      : findUnhealthy(cluster, prepared, options);
  const plan = await planRollout(cluster, { ...options, ...planning, find });
  await saveNewCredentials(plan, config, options);
  await downloadPrograms(cluster, plan, options);
  if (signal.aborted) return detached(progress);
  await tryPrograms(plan.work, options);
  const upgrade = await startConfiguredUpgrade(cluster, plan, options);
  const work = (): Promise<boolean> =>
    applyAndVerify(cluster, plan, { ...options, ...pruning, noRollback, manifests, upgrade });
  const isDone = await (upgrade?.run(work) ?? work());
  return isDone ? plan.publicAddress : detached(progress);
}

interface ApplyAndVerifyOptions extends ProgressOptions, Pick<BootstrapNodesOptions, "noRollback" | "forceConflicts"> {
  readonly allowed: ReturnType<typeof parseAllowed>;
  readonly manifests: Awaited<ReturnType<typeof readManifests>>;
  /** The change of the Kubernetes release; undefined if the release does not change. */
  readonly upgrade: UpgradeRun | undefined;
}

/** Runs the phases of `bootstrap` that change the cluster. Returns false if Ctrl-C stopped the work. */
async function applyAndVerify(
  cluster: OpenCluster,
  plan: RolloutPlan,
  { noRollback, manifests, upgrade, allowed, forceConflicts, ...options }: ApplyAndVerifyOptions,
): Promise<boolean> {
  const { signal } = options;
  const { config } = cluster;
  await joinEtcd(cluster, plan, options);
  if (signal.aborted) return false;
  const applied = await applyPlan(cluster, plan, { ...options, noRollback, between: upgrade?.gates.between });
  if (signal.aborted) return false;
  await upgrade?.gates.last(applied.outcomes);
  const texts = {
    done: applied.done.length,
    headline: "the bootstrap is not complete",
    hint: "correct this, then run the command again; it continues from here",
  };
  const gateErrors = upgrade?.gates.failures() ?? [];
  if (gateErrors.length > 0) conclude([...gateErrors, ...applied.errors], texts);
  const limitAnonymous = config.hardening.anonymousLimited;
  const rbacErrors = await applyRbac(applied, plan, { ...options, limitAnonymous });
  const waitMillis = applied.reachable ? config.timeouts.verify : 0;
  const folder = applied.done.length === 0 ? undefined : manifests;
  const manifestErrors = await applyManifests(folder, plan, { ...options, forceConflicts, allowed, waitMillis });
  if (signal.aborted) return false;
  const target = { ...plan, nodes: applied.done, checkAnonymous: true };
  const verifyErrors = await verifyCluster(cluster, target, { ...options, waitMillis, show: "all" });
  if (signal.aborted) return false;
  conclude([...applied.errors, ...rbacErrors, ...manifestErrors, ...verifyErrors], texts);
  return true;
}

function detached(progress: Progress): undefined {
  note(progress, "detached: the agents continue; run the command again to reattach");
}
