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

const autoupdate = "rbac.authorization.kubernetes.io/autoupdate";
/** The annotation with the rules that khw has last given to a role: "limited" or "default". */
export const rulesOfKhw = "khw/anonymous-requests";

/** The paths that nginx, the load balancer and the agents request without a certificate. */
export const healthPaths = ["/healthz", "/livez", "/readyz"] as const;

/**
 * The ClusterRole of anonymous requests. Users with an identity keep /version, through the role system:discovery. A
 * starting API server adds the default rules again, unless the annotation forbids that:
 * https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation. khw's own annotation stays, because
 * an API server 1.20.2 keeps it if khw's next server-side apply leaves it out.
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
