import { type DesiredState, hasEtcdCa, ownController, signsSeparately } from "../../proto/desired.ts";
import { etcdClientFiles } from "../../proto/etcd.ts";
import { labAdmissionPlugins, labRuntimeConfig } from "../../proto/kubernetes-versions.ts";
import { auditLogFile, credentialFile } from "../paths.ts";
import { aggregationFlags } from "./aggregation.ts";
import { effectiveFlags, type Flag } from "./flags.ts";
import { renderUnit } from "./unit.ts";

/** Renders kube-apiserver.service. */
export function renderKubeApiserver(desired: DesiredState): string {
  return renderUnit("kube-apiserver", {
    description: "Kubernetes API Server",
    flags: kubeApiserverFlags(desired),
    startsAfter: desired.kms?.unit,
  });
}

/** Returns the flags of the kube-apiserver process. */
export function kubeApiserverFlags(desired: DesiredState): Flag[] {
  return effectiveFlags("kube-apiserver", [...labFlags(desired), ...aggregationFlags(desired)], desired);
}

/** Returns the lab's flags in the lab's order. */
function labFlags(desired: DesiredState): Flag[] {
  const { controllers, etcdServers, nodePortRange, publicAddress, serviceCidr } = desired.cluster;
  // The API server trusts clients and kubelets whose certificate was signed by the cluster's CA or by the signing CA.
  const authorities = credentialFile(signsSeparately(desired) ? "ca-bundle.pem" : "ca.pem");
  const etcd = etcdClientFiles(hasEtcdCa(desired));
  return [
    ["advertise-address", ownController(desired).internalIp],
    ["allow-privileged", "true"],
    ["apiserver-count", String(controllers.length)],
    ["audit-log-maxage", "30"],
    ["audit-log-maxbackup", "3"],
    ["audit-log-maxsize", "100"],
    ["audit-log-path", auditLogFile],
    ["authorization-mode", "Node,RBAC"],
    ["bind-address", "0.0.0.0"],
    ["client-ca-file", authorities],
    ["enable-admission-plugins", labAdmissionPlugins],
    ["etcd-cafile", credentialFile(etcd.ca)],
    ["etcd-certfile", credentialFile(etcd.certificate)],
    ["etcd-keyfile", credentialFile(etcd.key)],
    ["etcd-servers", etcdServers.join(",")],
    ["event-ttl", "1h"],
    ["encryption-provider-config", credentialFile("encryption-config.yaml")],
    ["kubelet-certificate-authority", authorities],
    ["kubelet-client-certificate", credentialFile("kubernetes.pem")],
    ["kubelet-client-key", credentialFile("kubernetes-key.pem")],
    ["runtime-config", labRuntimeConfig],
    ["service-account-key-file", credentialFile("service-account.pem")],
    ["service-account-signing-key-file", credentialFile("service-account-key.pem")],
    ["service-account-issuer", `https://${publicAddress}:6443`],
    ["service-cluster-ip-range", serviceCidr],
    ["service-node-port-range", nodePortRange],
    ["tls-cert-file", credentialFile("kubernetes.pem")],
    ["tls-private-key-file", credentialFile("kubernetes-key.pem")],
    ["v", "2"],
  ];
}
