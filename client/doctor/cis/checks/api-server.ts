import type { CisCheck } from "../check.ts";
import type { Condition, FlagCondition, FlagRule } from "../condition.ts";
import { settingLine } from "../setting-fix.ts";
import { acceptedCiphers, recommendedCiphers } from "./ciphers.ts";

type More = Omit<CisCheck, "section" | "title" | "condition">;

function check(title: string, condition: Condition, more: More = {}): CisCheck {
  return { section: "1.2", title: `API server: ${title}`, condition, ...more };
}

function flag(name: string, rule: FlagRule, more: Partial<FlagCondition> = {}): FlagCondition {
  return { kind: "flag", program: "kube-apiserver", flag: name, rule, ...more };
}

const orNotSet = [["1.20", true]] as const;
const plugin = (name: string): FlagCondition => flag("enable-admission-plugins", { has: name });
const noPlugin = (name: string): FlagCondition => flag("enable-admission-plugins", { lacks: name }, { orNotSet });
const keptPlugin = (name: string): FlagCondition => flag("disable-admission-plugins", { lacks: name }, { orNotSet });
const authorizer = (rule: FlagRule): FlagCondition =>
  flag("authorization-mode", rule, { replacedBy: "authorization-config" });
const both = (one: string, other: string): Condition => ({ kind: "all", of: [flag(one, "set"), flag(other, "set")] });

/** Section 1.2: the API server. */
export const apiServerChecks: readonly CisCheck[] = [
  check(
    "anonymous requests are off",
    flag("anonymous-auth", { is: "false" }, { replacedBy: "authentication-config" }),
    { reason: { why: "nginx and the load balancer request the health endpoints without credentials" } },
  ),
  check("no static token file is used", flag("token-auth-file", "not set")),
  check("DenyServiceExternalIPs is off", noPlugin("DenyServiceExternalIPs"), {
    since: "1.23",
    until: "1.24",
    reason: {
      why: "the plugin mitigates CVE-2020-8554; later editions of the benchmark require the plugin",
      optional: true,
    },
  }),
  check("DenyServiceExternalIPs is on", plugin("DenyServiceExternalIPs"), { since: "1.7" }),
  check("the API server calls kubelets over TLS", flag("kubelet-https", { is: "true" }, { orNotSet }), {
    until: "1.23",
  }),
  check("a client certificate for kubelets", both("kubelet-client-certificate", "kubelet-client-key")),
  check("kubelets' certificates are verified", flag("kubelet-certificate-authority", "set")),
  check("authorization is not AlwaysAllow", authorizer({ lacks: "AlwaysAllow" })),
  check("the Node authorizer is on", authorizer({ has: "Node" })),
  check("the RBAC authorizer is on", authorizer({ has: "RBAC" })),
  check("EventRateLimit is on", plugin("EventRateLimit"), {
    fix: settingLine("hardening.eventLimits", "true"),
  }),
  check("AlwaysAdmit is off", noPlugin("AlwaysAdmit")),
  check("AlwaysPullImages is on", plugin("AlwaysPullImages"), {
    reason: { why: "with the plugin, pods cannot start while their registry is unreachable", optional: true },
  }),
  check(
    "SecurityContextDeny or PodSecurityPolicy is on",
    { kind: "any", of: [plugin("SecurityContextDeny"), plugin("PodSecurityPolicy")] },
    {
      until: "1.8",
      reason: {
        why: "SecurityContextDeny rejects ordinary pods; Kubernetes removed SecurityContextDeny in 1.30 and PodSecurityPolicy in 1.25",
      },
    },
  ),
  check("ServiceAccount is not disabled", keptPlugin("ServiceAccount")),
  check("NamespaceLifecycle is not disabled", keptPlugin("NamespaceLifecycle")),
  check("PodSecurityPolicy is on", plugin("PodSecurityPolicy"), {
    until: "1.20",
    reason: { why: "without policies, no pod can start; PodSecurityPolicy was deprecated in 1.21 and removed in 1.25" },
  }),
  check("NodeRestriction is on", plugin("NodeRestriction")),
  check("no address without TLS", flag("insecure-bind-address", "not set"), { until: "1.20" }),
  check("no port without TLS", flag("insecure-port", { is: "0" }), { until: "1.20" }),
  check("the TLS port is enabled", flag("secure-port", { atLeast: 1 }, { orNotSet, remedy: "6443" }), { until: "1.7" }),
  check("profiling is off", flag("profiling", { is: "false" })),
  check("an audit log", flag("audit-log-path", "set")),
  check("audit logs are kept for 30 days", flag("audit-log-maxage", { atLeast: 30 })),
  check("10 old audit logs are kept", flag("audit-log-maxbackup", { atLeast: 10 })),
  check("an audit log can reach 100 MB", flag("audit-log-maxsize", { atLeast: 100 })),
  check("a suitable time limit for requests", {
    kind: "manual",
    about: "--request-timeout: without the flag, a request can take one minute",
  }),
  check("service account tokens are looked up in etcd", flag("service-account-lookup", { is: "true" }, { orNotSet })),
  check("a key file for service accounts", flag("service-account-key-file", "set")),
  check("a client certificate for etcd", both("etcd-certfile", "etcd-keyfile")),
  check("a serving certificate", both("tls-cert-file", "tls-private-key-file")),
  check("a CA for clients", flag("client-ca-file", "set")),
  check("etcd's certificate is verified", flag("etcd-cafile", "set")),
  check("encryption at rest", flag("encryption-provider-config", "set")),
  check(
    "a strong provider for encryption at rest",
    { kind: "encryption", providers: ["aescbc", "kms", "secretbox"] },
    { fix: "khw-client encryption rotate --provider secretbox" },
  ),
  check(
    "only strong cipher suites",
    flag("tls-cipher-suites", { onlyFrom: acceptedCiphers }, { remedy: recommendedCiphers }),
  ),
  check("tokens are not extended", flag("service-account-extend-token-expiration", { is: "false" }), {
    since: "1.11",
    reason: { why: "pods with old client libraries would lose access after an hour", optional: true },
  }),
];
