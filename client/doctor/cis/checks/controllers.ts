import type { CisCheck } from "../check.ts";
import type { Condition, FlagCondition, FlagRule } from "../condition.ts";

function flag(program: "kube-controller-manager" | "kube-scheduler", name: string, rule: FlagRule): FlagCondition {
  return { kind: "flag", program, flag: name, rule };
}

const manager = (name: string, rule: FlagRule): FlagCondition => flag("kube-controller-manager", name, rule);

/** Most editions accept a server without this flag, although the server then listens on every address. */
const loopback = (program: "kube-controller-manager" | "kube-scheduler"): Condition => ({
  ...flag(program, "bind-address", { is: "127.0.0.1" }),
  orNotSet: [
    ["1.20", true],
    ["1.24", false],
    ["1.7", true],
  ],
});

/** Sections 1.3 and 1.4: the controller manager and the scheduler. */
export const controllerChecks: readonly CisCheck[] = [
  {
    section: "1.3",
    title: "controller manager: a limit for terminated pods",
    condition: { ...manager("terminated-pod-gc-threshold", "set"), remedy: "1000" },
    reason: { why: "without the flag, the limit is 12,500 pods", optional: true },
  },
  { section: "1.3", title: "controller manager: profiling is off", condition: manager("profiling", { is: "false" }) },
  {
    section: "1.3",
    title: "controller manager: a service account for each controller",
    condition: manager("use-service-account-credentials", { isNot: "false" }),
  },
  {
    section: "1.3",
    title: "controller manager: a key for service accounts",
    condition: manager("service-account-private-key-file", "set"),
  },
  { section: "1.3", title: "controller manager: a CA for service accounts", condition: manager("root-ca-file", "set") },
  {
    section: "1.3",
    title: "controller manager: kubelets may rotate their serving certificates",
    condition: {
      ...manager("feature-gates", { lacks: "RotateKubeletServerCertificate=false" }),
      orNotSet: [["1.20", true]],
    },
  },
  {
    section: "1.3",
    title: "controller manager: listens on the loopback address",
    condition: loopback("kube-controller-manager"),
  },
  { section: "1.4", title: "scheduler: profiling is off", condition: { kind: "scheduler-profiling" } },
  { section: "1.4", title: "scheduler: listens on the loopback address", condition: loopback("kube-scheduler") },
];
