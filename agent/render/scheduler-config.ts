import type { DesiredState } from "../../proto/desired.ts";
import { schedulerConfigVersion } from "../../proto/kubernetes-versions.ts";
import { credentialFile } from "../paths.ts";

/** The text of kube-scheduler.yaml: the lab's, in the API version that the wanted release reads. */
export function renderSchedulerConfig({ kubernetesVersion }: DesiredState): string {
  return `apiVersion: kubescheduler.config.k8s.io/${schedulerConfigVersion(kubernetesVersion)}
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: "${credentialFile("kube-scheduler.kubeconfig")}"
leaderElection:
  leaderElect: true
`;
}
