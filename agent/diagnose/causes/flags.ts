import type { Cause } from "../evidence.ts";

/** The reasons why a program rejects its flags. */
export const flags: readonly Cause[] = [
  {
    id: "unknown-flag",
    pattern: /(?:unknown flag: |unknown shorthand flag: .* in |flag provided but not defined: )(?<flag>-\S+)/,
    message: "it does not support the flag {flag}",
    remedy: "remove {flag} from the flags of {component} in khw.yaml (or from {unit}): this release has no such flag",
  },
  {
    id: "invalid-flag-value",
    pattern: /invalid (?:argument|value) "(?<value>[^"]*)" for (?:flag )?"?(?:-\w, )?(?<flag>-{1,2}[\w-]+)/,
    message: 'the flag {flag} cannot have the value "{value}"',
    remedy: "fix {flag} of {component} in khw.yaml (or in {unit})",
  },
  {
    id: "unknown-admission-plugin",
    components: ["kube-apiserver"],
    pattern: /(?<flag>(?:en|dis)able-admission-plugins) plugin "(?<plugin>[^"]+)" is unknown/,
    message: "it has no admission plugin {plugin}",
    remedy: "fix --{flag} of kube-apiserver: {plugin} is misspelt or does not exist in this release",
  },
  {
    id: "invalid-authorization-mode",
    components: ["kube-apiserver"],
    pattern: /authorization-mode "?(?<mode>[^" ]*)"? is not a valid mode/,
    message: "{mode} is not a valid authorization mode",
    remedy: "fix --authorization-mode of kube-apiserver: lab 08 sets Node,RBAC",
  },
  {
    id: "unknown-api",
    components: ["kube-apiserver"],
    pattern: /^Error: .*unknown api (?:groups?|versions?) (?<group>\S+)/,
    message: "it has no API {group}",
    remedy: "fix --runtime-config of kube-apiserver: {group} is misspelt or does not exist in this release",
  },
  {
    id: "unknown-controller",
    components: ["kube-controller-manager"],
    pattern: /"(?<controller>[^"]+)" is not in the list of known controllers/,
    message: "it has no controller {controller}",
    remedy:
      "fix the --controllers flag of kube-controller-manager: {controller} is misspelt or does not exist in this release",
  },
  {
    id: "service-cidr-invalid",
    components: ["kube-apiserver", "kube-controller-manager"],
    pattern:
      /service-cluster-ip-range\S* is (?:not a valid cidr|too large)|service cluster IP range must be at least|invalid service-cluster-ip-range|service-cluster-ip-range\[\d+\]|unable to parse .*service.*(?:cidr|ip-range)/i,
    message: "--service-cluster-ip-range is {service_cluster_ip_range}, which is not a valid range for services",
    remedy:
      "set cluster.serviceCidr in khw.yaml (--service-cluster-ip-range) to a network with a prefix length from /12 to /28 (10.32.0.0/24 in lab 08)",
  },
];
