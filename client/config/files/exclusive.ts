import { KhwError } from "../../../proto/errors.ts";
import type { ClusterConfig } from "../schema.ts";
import { isUsed } from "./oidc.ts";

type Settings = Pick<ClusterConfig, "oidc" | "kubernetes">;

/**
 * Rejects settings and flags with which the API server would not start, because it accepts only one of them:
 * pkg/kubeapiserver/options/authentication.go in Kubernetes.
 * @throws KhwError CONFIG_INVALID
 */
export function refuseExclusive({ oidc, kubernetes }: Settings): void {
  const flag = "authentication-config";
  if (!isUsed(oidc) || typeof kubernetes.flags["kube-apiserver"][flag] !== "string") return;
  throw new KhwError("CONFIG_INVALID", `oidc and the flag ${flag} of kube-apiserver cannot be used together`, {
    hint: `remove ${flag} from kubernetes.flags`,
  });
}
