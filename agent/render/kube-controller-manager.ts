import { type DesiredState, signsSeparately } from "../../proto/desired.ts";
import { credentialFile } from "../paths.ts";
import { effectiveFlags, type Flag } from "./flags.ts";
import { renderUnit } from "./unit.ts";

/** Renders kube-controller-manager.service. */
export function renderKubeControllerManager(desired: DesiredState): string {
  return renderUnit("kube-controller-manager", {
    description: "Kubernetes Controller Manager",
    flags: kubeControllerManagerFlags(desired),
  });
}

/** Returns the flags of the kube-controller-manager process. */
export function kubeControllerManagerFlags(desired: DesiredState): Flag[] {
  return effectiveFlags("kube-controller-manager", labFlags(desired), desired);
}

/** Returns the lab's flags in the lab's order. */
function labFlags(desired: DesiredState): Flag[] {
  const { cluster } = desired;
  const signer = signsSeparately(desired) ? "signing-ca" : "ca";
  return [
    ["bind-address", "0.0.0.0"],
    ["cluster-cidr", cluster.clusterCidr],
    ["cluster-name", cluster.name],
    ["cluster-signing-cert-file", credentialFile(`${signer}.pem`)],
    ["cluster-signing-key-file", credentialFile(`${signer}-key.pem`)],
    ["kubeconfig", credentialFile("kube-controller-manager.kubeconfig")],
    ["leader-elect", "true"],
    ["root-ca-file", credentialFile("ca.pem")],
    ["service-account-private-key-file", credentialFile("service-account-key.pem")],
    ["service-cluster-ip-range", cluster.serviceCidr],
    ["use-service-account-credentials", "true"],
    ["v", "2"],
  ];
}
