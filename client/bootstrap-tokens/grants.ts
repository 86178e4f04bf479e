/** The group of all bootstrap tokens that khw creates. Kubernetes requires the prefix of this name. */
export const tokenGroup = "system:bootstrappers:khw";

const group = "rbac.authorization.k8s.io";
const kubelets = "system:certificates.k8s.io:certificatesigningrequests";

/**
 * The rights of a kubelet that joins with a token: it may request a client certificate, and the controller manager
 * approves requests for a kubelet's client certificate. These rights do not allow the approval of serving certificates.
 */
export const tokenGrants = [
  grant("khw:kubelet-bootstrap", "system:node-bootstrapper", tokenGroup),
  grant("khw:kubelet-first-certificate", `${kubelets}:nodeclient`, tokenGroup),
  grant("khw:kubelet-next-certificate", `${kubelets}:selfnodeclient`, "system:nodes"),
];

function grant(name: string, role: string, holder: string) {
  return {
    path: `/apis/${group}/v1/clusterrolebindings/${name}`,
    object: {
      apiVersion: `${group}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: { apiGroup: group, kind: "ClusterRole", name: role },
      subjects: [{ apiGroup: group, kind: "Group", name: holder }],
    },
  };
}
