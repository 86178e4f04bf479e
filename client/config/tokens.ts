import { KhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "./schema.ts";

type Flags = ClusterConfig["kubernetes"]["flags"];

const manager = "kube-controller-manager";
const flag = "enable-bootstrap-token-auth";

/** Adds the flags that let workers join with a bootstrap token. Flags from khw.yaml take precedence. */
export function withTokens(flags: Flags, wanted: boolean): Flags {
  if (!wanted) return flags;
  return {
    ...flags,
    "kube-apiserver": { [flag]: "true", ...flags["kube-apiserver"] },
    [manager]: { controllers: "*,bootstrapsigner,tokencleaner", ...flags[manager] },
  };
}

/**
 * Rejects a configuration in which the API servers do not accept bootstrap tokens.
 * @throws KhwError CONFIG_INVALID
 */
export function requireTokens({ kubernetes, tlsBootstrap }: Pick<ClusterConfig, "kubernetes" | "tlsBootstrap">): void {
  const value = withTokens(kubernetes.flags, tlsBootstrap)["kube-apiserver"][flag] ?? "false";
  // The API server parses these values as true.
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return;
  const [why, change] = tlsBootstrap
    ? [`kubernetes.flags turns off ${flag}`, `remove ${flag} from kubernetes.flags`]
    : ["tlsBootstrap is not set", "set tlsBootstrap: true"];
  throw new KhwError("CONFIG_INVALID", `the API servers do not accept bootstrap tokens, because ${why}`, {
    hint: `${change} in khw.yaml, run khw-client bootstrap, then run the command again`,
  });
}
