import { KhwError } from "../../../proto/errors.ts";
import type { ClusterConfig } from "../schema.ts";
import { isUsed } from "./oidc.ts";

type Settings = Pick<ClusterConfig, "authentication" | "authorization" | "oidc" | "kubernetes">;

/**
 * Rejects settings and flags that exclude each other, because the API server would not start with both of them
 * (pkg/kubeapiserver/options/authentication.go and authorization.go in Kubernetes). Also rejects a flag that would
 * replace a part of these settings, because users could then log in without the setting's checks.
 * @throws KhwError CONFIG_INVALID
 */
export function refuseExclusive({ authentication, authorization, oidc, kubernetes }: Settings): void {
  const isSet = (flag: string): boolean => typeof kubernetes.flags["kube-apiserver"][flag] === "string";
  // The value null removes a flag that khw sets. Removing a flag could disable a check on users.
  const changed = Object.keys(kubernetes.flags["kube-apiserver"]);
  const flags = changed.filter(isSet);
  if (authentication.config !== undefined) {
    if (isUsed(oidc)) refuseBoth("authentication.config", "the settings of oidc", "move them to the file, as jwt");
    refuseFlag(
      "authentication.config",
      flags.find((flag) => flag.startsWith("oidc-")) ?? changed.find((flag) => flag === "authentication-config"),
    );
  }
  if (isUsed(oidc))
    refuseFlag(
      "oidc",
      flags.find((flag) => flag === "authentication-config") ?? changed.find((flag) => flag.startsWith("oidc-")),
    );
  if (authorization.config !== undefined)
    refuseFlag(
      "authorization.config",
      flags.find((flag) => flag === "authorization-mode" || flag.startsWith("authorization-webhook-")) ??
        changed.find((flag) => flag === "authorization-config"),
    );
}

/** Rejects the flag in kubernetes.flags, if there is one. */
export function refuseFlag(setting: string, flag: string | undefined): void {
  if (flag !== undefined)
    refuseBoth(setting, `the flag ${flag} of kube-apiserver`, `remove ${flag} from kubernetes.flags`);
}

function refuseBoth(one: string, other: string, hint: string): never {
  throw new KhwError("CONFIG_INVALID", `${one} and ${other} cannot be used together`, { hint });
}
