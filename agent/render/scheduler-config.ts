import type { DesiredState } from "../../proto/desired.ts";
import { schedulerConfigVersion } from "../../proto/kubernetes-versions.ts";
import { credentialFile } from "../paths.ts";

/** Renders the lab's kube-scheduler.yaml, in the API version of the wanted release. */
export function renderSchedulerConfig({ kubernetesVersion }: DesiredState): string {
  return `apiVersion: kubescheduler.config.k8s.io/${schedulerConfigVersion(kubernetesVersion)}
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: "${credentialFile("kube-scheduler.kubeconfig")}"
leaderElection:
  leaderElect: true
`;
}
