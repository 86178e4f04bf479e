import type { CisCheck } from "../check.ts";
import type { Condition, FlagCondition, FlagRule } from "../condition.ts";

function check(title: string, condition: Condition, more: Pick<CisCheck, "reason"> = {}): CisCheck {
  return { section: "2", title: `etcd: ${title}`, condition, fix: "khw-client bootstrap", ...more };
}

function flag(name: string, rule: FlagRule): FlagCondition {
  return { kind: "flag", program: "etcd", flag: name, rule };
}

const off = (name: string): FlagCondition => ({ ...flag(name, { is: "false" }), orNotSet: [["1.20", true]] });
const both = (one: string, other: string): Condition => ({ kind: "all", of: [flag(one, "set"), flag(other, "set")] });

/** Section 2: etcd. khw.yaml cannot change etcd's flags, so a wrong flag is drift. */
export const etcdChecks: readonly CisCheck[] = [
  check("a serving certificate", both("cert-file", "key-file")),
  check("clients need a certificate", flag("client-cert-auth", { is: "true" })),
  check("no self-signed serving certificate", off("auto-tls")),
  check("a certificate for peers", both("peer-cert-file", "peer-key-file")),
  check("peers need a certificate", flag("peer-client-cert-auth", { is: "true" })),
  check("no self-signed certificate for peers", off("peer-auto-tls")),
  check(
    "a CA of its own",
    { kind: "own-etcd-ca" },
    { reason: { why: "the cluster's CA also signs etcd's certificates, as in lab 04" } },
  ),
];
