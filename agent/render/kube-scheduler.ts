import type { DesiredState } from "../../proto/desired.ts";
import { parseKubernetesVersion, schedulerConfigVersion } from "../../proto/kubernetes-versions.ts";
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
  return renderUnit("kube-scheduler", { description: "Kubernetes Scheduler", flags: kubeSchedulerFlags(desired) });
}

/** Returns the flags of the kube-scheduler process. */
export function kubeSchedulerFlags(desired: DesiredState): Flag[] {
  return effectiveFlags("kube-scheduler", labFlags, desired);
}

/** The first release that no longer serves health and metrics on a port without TLS. */
const noInsecurePortFrom = 23;

/**
 * An empty address or the port 0 would not close the port, because releases before 1.23 replace both values with the
 * defaults.
 */
const localAddresses = `healthzBindAddress: "127.0.0.1:10251"
metricsBindAddress: "127.0.0.1:10251"
`;

/** Renders the lab's kube-scheduler.yaml, in the API version of the desired release. */
export function renderSchedulerConfig({ kubernetesVersion, hardening }: DesiredState): string {
  const { minor } = parseKubernetesVersion("kubernetes_version", kubernetesVersion);
  const local = hardening.schedulerInsecurePortLocal && minor < noInsecurePortFrom;
  return `apiVersion: kubescheduler.config.k8s.io/${schedulerConfigVersion(kubernetesVersion)}
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: "${credentialFile("kube-scheduler.kubeconfig")}"
leaderElection:
  leaderElect: true
${hardening.schedulerProfilingOff ? "enableProfiling: false\n" : ""}${local ? localAddresses : ""}`;
}
