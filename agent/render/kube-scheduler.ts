import type { DesiredState } from "../../proto/desired.ts";
import { configFolder } from "../paths.ts";
import { effectiveFlags, type Flag } from "./flags.ts";
import { renderUnit } from "./unit.ts";

/** The lab's flags in the lab's order. */
const labFlags: readonly Flag[] = [
  ["config", `${configFolder}/kube-scheduler.yaml`],
  ["v", "2"],
];

/** Renders kube-scheduler.service. */
export function renderKubeScheduler(desired: DesiredState): string {
  return renderUnit("kube-scheduler", "Kubernetes Scheduler", kubeSchedulerFlags(desired));
}

/** Returns the flags of its process. */
export function kubeSchedulerFlags(desired: DesiredState): Flag[] {
  return effectiveFlags("kube-scheduler", labFlags, desired);
}
