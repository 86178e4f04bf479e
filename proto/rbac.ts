/**
 * The lab's RBAC objects, which allow an API server to use the API of the kubelets. The contents equal the lab's YAML.
 */
export const rbacObjects = [
  {
    path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:kube-apiserver-to-kubelet",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: {
        name: "system:kube-apiserver-to-kubelet",
        annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
        labels: { "kubernetes.io/bootstrapping": "rbac-defaults" },
      },
      rules: [
        {
          apiGroups: [""],
          resources: ["nodes/proxy", "nodes/stats", "nodes/log", "nodes/spec", "nodes/metrics"],
          verbs: ["*"],
        },
      ],
    },
  },
  {
    path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:kube-apiserver",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "system:kube-apiserver" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "system:kube-apiserver-to-kubelet" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "kubernetes" }],
    },
  },
] as const;
