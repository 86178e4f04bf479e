/**
 * The lab's RBAC objects, which allow an API server to use the API of the kubelets. The contents are identical to the
 * lab's YAML.
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

const autoupdate = "rbac.authorization.kubernetes.io/autoupdate";
/** The annotation that records which rules khw last gave to a role: "limited" or "default". */
export const rulesOfKhw = "khw/anonymous-requests";

/** The paths that nginx, the load balancer and the agents request without a certificate. */
export const healthPaths = ["/healthz", "/livez", "/readyz"] as const;

/**
 * The ClusterRole for anonymous requests. Authenticated users keep access to /version through the role
 * system:discovery. When an API server starts, it adds the default rules again, unless an annotation of Kubernetes
 * forbids this: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation. khw sets this
 * annotation and its own on every apply, because API server 1.20.2 keeps the old value of an annotation that a later
 * server-side apply omits.
 */
export function anonymousRole(rules: "limited" | "default") {
  const limited = rules === "limited";
  const name = "system:public-info-viewer";
  return {
    path: `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}`,
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: {
        name,
        annotations: { [autoupdate]: String(!limited), [rulesOfKhw]: rules },
        labels: { "kubernetes.io/bootstrapping": "rbac-defaults" },
      },
      rules: [{ nonResourceURLs: [...healthPaths, ...(limited ? [] : ["/version", "/version/"])], verbs: ["get"] }],
    },
  };
}
