import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { amongNodesChecks } from "./among-nodes.ts";
import { apiChecks } from "./api.ts";
import { backendChecks } from "./backends.ts";
import { type CheckResult, type DoctorCheck, findingOf, places, runChecks } from "./check.ts";
import { desiredChecks } from "./desired.ts";
import { collectFacts } from "./facts.ts";
import { loadBalancerChecks } from "./load-balancer.ts";
import { nodeChecks } from "./nodes.ts";
import { openAnyway } from "./open.ts";
import { fileChecks, workstationChecks } from "./workstation.ts";

/** The time limit for each check. An agent that hangs affects only its own checks. */
const deadlineMillis = 60_000;

export interface ExamineOptions {
  readonly signal: AbortSignal;
  readonly clientVersion: string;
}

/** Runs every check. Failure to open the cluster is a finding. The checks of the cluster then count as not run. */
export async function examine(
  load: () => Promise<ClusterConfig>,
  { signal, clientVersion }: ExamineOptions,
): Promise<CheckResult[]> {
  const settings: DoctorCheck = {
    where: places.workstation,
    title: "khw.yaml and the flags can be read",
    run: async () => [],
  };
  let config: ClusterConfig;
  try {
    config = await load();
  } catch (error) {
    return [toNotRun(settings, toKhwError(error)), ...notRun("every other check", "the configuration cannot be read")];
  }
  const first = await runChecks([settings, ...fileChecks(config)], { signal, deadlineMillis });
  const { cluster: opening, error } = await openAnyway(config, signal);
  const opened: DoctorCheck = {
    where: places.cluster,
    title: "the nodes' addresses can be found",
    run: async () => [],
  };
  if (error !== undefined) first.push(toNotRun(opened, error));
  if (opening === undefined) {
    return [...first, ...notRun("every check of the nodes and the load balancer", "the nodes' addresses are unknown")];
  }
  await using cluster = opening;
  const facts = collectFacts({ cluster, clientVersion, signal });
  const checks = [
    ...workstationChecks(facts),
    ...nodeChecks(facts),
    ...amongNodesChecks(facts),
    ...(await loadBalancerChecks(facts)),
    ...apiChecks(facts),
    ...backendChecks(facts),
    ...desiredChecks(facts),
  ];
  const results = await runChecks(checks, { signal, deadlineMillis });
  signal.throwIfAborted();
  const unseen =
    error === undefined
      ? []
      : notRun("every check of the load balancer", "the Compute Engine API could not be reached");
  return [...first, ...results, ...unseen];
}

function toNotRun({ where, title }: DoctorCheck, error: KhwError): CheckResult {
  return { where, title, outcome: "found", findings: [findingOf(error, error.node ?? where)] };
}

function notRun(title: string, reason: string): CheckResult[] {
  return [{ where: places.cluster, title, outcome: "not run", reason: new KhwError("NOT_RUN", reason) }];
}

/** Whether every check ran and no check found an error. */
export function isSound(results: readonly CheckResult[]): boolean {
  return results.every(
    (result) =>
      result.outcome === "passed" ||
      (result.outcome === "found" && result.findings.every(({ severity }) => severity !== "error")),
  );
}
