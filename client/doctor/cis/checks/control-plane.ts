import type { CisCheck } from "../check.ts";
import { settingLine } from "../setting-fix.ts";

const manual = (section: CisCheck["section"], title: string, about: string): CisCheck => ({
  section,
  title,
  condition: { kind: "manual", about },
});

/** Section 3: user authentication and the audit policy. */
export const controlPlaneChecks: readonly CisCheck[] = [
  manual(
    "3.1",
    "users have no client certificates",
    "client certificates cannot be revoked; give people tokens from an identity provider (the --oidc flags)",
  ),
  {
    ...manual("3.1", "users have no service account tokens", "look for service account tokens in people's kubeconfigs"),
    since: "1.7",
  },
  {
    ...manual("3.1", "users have no bootstrap tokens", "look for bootstrap tokens in people's kubeconfigs"),
    since: "1.7",
  },
  {
    section: "3.2",
    title: "an audit policy",
    condition: { kind: "flag", program: "kube-apiserver", flag: "audit-policy-file", rule: "set" },
    fix: settingLine("audit.policy", "metadata"),
  },
  manual(
    "3.2",
    "the audit policy covers the important requests",
    "check that the policy logs requests for Secrets and tokens without their bodies, and logs workload changes, exec, port-forward and proxy",
  ),
];
