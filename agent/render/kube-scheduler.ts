import type { DesiredState } from "../../proto/desired.ts";
import { schedulerConfigVersion } from "../../proto/kubernetes-versions.ts";
import { credentialFile, schedulerConfigFile } from "../paths.ts";
import { effectiveFlags, type Flag } from "./flags.ts";
import { renderUnit } from "./unit.ts";

/** The lab's flags in the lab's order. */
const labFlags: readonly Flag[] = [
  ["config", schedulerConfigFile],
  ["v", "2"],
];

/** Renders kube-scheduler.service. */
export function renderKubeScheduler(desired: DesiredState): string {
  return renderUnit("kube-scheduler", "Kubernetes Scheduler", kubeSchedulerFlags(desired));
}

/** Returns the flags of the kube-scheduler process. */
export function kubeSchedulerFlags(desired: DesiredState): Flag[] {
  return effectiveFlags("kube-scheduler", labFlags, desired);
}

/** Renders the lab's kube-scheduler.yaml, in the API version of the desired release. */
export function renderSchedulerConfig({ kubernetesVersion }: DesiredState): string {
  return `apiVersion: kubescheduler.config.k8s.io/${schedulerConfigVersion(kubernetesVersion)}
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: "${credentialFile("kube-scheduler.kubeconfig")}"
leaderElection:
  leaderElect: true
`;
}
