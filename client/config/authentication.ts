import { optional, path } from "./parsers.ts";
import type { Group } from "./setting.ts";

/** The group `authentication` in khw.yaml. */
export const authentication = {
  title: "How the API servers identify users, from Kubernetes 1.30 on.",
  keys: {
    config: {
      help: "File that contains an AuthenticationConfiguration. It cannot be combined with the oidc settings.",
      default: null,
      flag: { name: "--authentication-config", value: "file" },
      parse: optional(path),
    },
  },
} as const satisfies Group;

/** The group `authorization` in khw.yaml. */
export const authorization = {
  title: "How the API servers decide what users may do, from Kubernetes 1.30 on.",
  keys: {
    config: {
      help: "File that contains an AuthorizationConfiguration, which replaces --authorization-mode. The kubeconfigs that it names must be in the same folder.",
      default: null,
      flag: { name: "--authorization-config", value: "file" },
      parse: optional(path),
    },
  },
} as const satisfies Group;
