import {
  AgentUpgradeState,
  type Certificate,
  CertificateState,
  type Component,
  type DriftedStep,
  DriftPolicy,
  type GetStatusResponse,
  Health,
  OperationState,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { clock, instant } from "../terminal/time.ts";
import { isLeft } from "../../proto/drain.ts";
import { describeDrained } from "../drain/drained.ts";
import type { ClusterState, LoadBalancerState, NodeState } from "./state.ts";

/** A fact that a healthy cluster would not show. A problem of severity "error" makes the cluster unhealthy. */
export interface Problem {
  /** The node; empty if the problem is not about a single node. */
  readonly node: string;
  /** The component, step, file or other part that the problem is about. */
  readonly subject: string;
  readonly severity: "error" | "warning";
  readonly message: string;
  /** The remedy; empty if no remedy is known. */
  readonly hint: string;
}

/** Returns the problems; each node's errors come before its warnings. */
export function problemsOf({ nodes, loadBalancer }: ClusterState): Problem[] {
  const drained = new Set(nodes.filter(({ status }) => status?.maintenance?.drained).map(({ node }) => node));
  return [
    ...nodes.flatMap(nodeProblems),
    ...(loadBalancer === undefined ? [] : loadBalancerProblems(loadBalancer, drained)),
  ];
}

/** Whether every node answered and no problem is an error. */
export function isWell(cluster: ClusterState): boolean {
  return (
    cluster.nodes.every(({ status }) => status !== undefined) &&
    problemsOf(cluster).every(({ severity }) => severity === "warning")
  );
}

export function nodeProblems({ node, status, error }: NodeState): Problem[] {
  if (error !== undefined) {
    const { message, hint = "" } = error;
    return [{ node, subject: "khw-agent", severity: "error", message, hint }];
  }
  if (status === undefined) return [];
  const found = [
    ...maintenance(node, status),
    ...components(node, status),
    ...(status.drift?.steps ?? []).map((step) => drift(node, step, status.drift?.policy)),
    ...status.certificates.flatMap(certificate),
    ...operation(status),
    ...agentUpgrade(status),
    ...pausedDrift(status),
  ];
  return found
    .map((problem) => ({ node, ...problem }))
    .sort((one, other) => Number(one.severity === "warning") - Number(other.severity === "warning"));
}

type FoundProblem = Omit<Problem, "node">;

function maintenance(node: string, { maintenance: at }: GetStatusResponse): FoundProblem[] {
  if (at === undefined || !at.drained) return [];
  const message = `${describeDrained(at)}: the load balancer sends no clients here`;
  const undrain = `khw-client undrain ${node}`;
  const hint = isLeft(at)
    ? `to complete the rolling update, run khw-client bootstrap; ${undrain} only undrains the node`
    : undrain;
  return [{ subject: "maintenance", severity: "error", message, hint }];
}

function components(node: string, { components: known }: GetStatusResponse): FoundProblem[] {
  if (known.length > 0) return known.flatMap((one) => component(node, one));
  const message = "the agent has not checked its components yet";
  return [{ subject: "khw-agent", severity: "error", message, hint: "it has just started; run the command again" }];
}

function component(node: string, one: Component): FoundProblem[] {
  const { name: subject, health, enabled, reason, diagnosis, nextRestartUnixMillis } = one;
  const severity = "error";
  if (health !== Health.HEALTH_HEALTHY) {
    const unknown = diagnosis === undefined || diagnosis.cause === "unknown";
    const [line] = unknown ? (diagnosis?.lines.slice(-1) ?? []) : [];
    const told = unknown ? reason || "it is not healthy" : diagnosis.message;
    const message = [told, line && `its journal says: ${line}`].filter(Boolean).join("; ");
    const again = nextRestartUnixMillis === 0 ? "" : `the agent restarts it at ${clock(nextRestartUnixMillis)} UTC`;
    const remedy = diagnosis?.remedy || (unknown ? `khw-client logs ${node} ${subject}` : "");
    return [{ subject, severity, message, hint: [remedy, again].filter((part) => part !== "").join("; ") }];
  }
  if (enabled) return [];
  const message = "is not enabled, so it will not start after a reboot";
  return [{ subject, severity, message, hint: "to enable it, run khw-client bootstrap" }];
}

function drift(node: string, step: DriftedStep, policy?: DriftPolicy): FoundProblem {
  const { id: subject, repairs, error, nextRepairUnixMillis, remedy } = step;
  if (remedy !== undefined) return { subject, severity: "error", message: step.drift, hint: remedy };
  const times = repairs === 0 ? "" : `; it was repaired ${repairs} ${repairs === 1 ? "time" : "times"}, but came back`;
  const failed = error === undefined ? "" : `; its repair failed: ${error.message}`;
  const next =
    policy === DriftPolicy.DRIFT_POLICY_REPORT
      ? "drift is only reported here; run khw-client bootstrap to repair it"
      : nextRepairUnixMillis === 0
        ? ""
        : `the agent repairs it at ${clock(nextRepairUnixMillis)} UTC`;
  const hint = [error?.hint ?? "", `khw-client diff ${node} shows the difference`, next]
    .filter((part) => part !== "")
    .join("; ");
  return { subject, severity: "error", message: `${step.drift}${times}${failed}`, hint };
}

function certificate({ path: subject, state, reason, expiresUnixMillis }: Certificate): FoundProblem[] {
  if (state !== CertificateState.CERTIFICATE_STATE_WARNING && state !== CertificateState.CERTIFICATE_STATE_ERROR) {
    return [];
  }
  const severity = state === CertificateState.CERTIFICATE_STATE_ERROR ? "error" : "warning";
  const message = reason || `expires on ${instant(expiresUnixMillis)}`;
  return [{ subject, severity, message, hint: certificateRemedy(subject) }];
}

/** Matches the on-node paths of the certificates that `khw-client pki renew` issues. */
const renewable =
  /\/(kubernetes|service-account|kube-controller-manager|kube-scheduler|front-proxy-client)\.(?:pem|kubeconfig)$/;

function certificateRemedy(path: string): string {
  const [, name] = renewable.exec(path) ?? [];
  if (name !== undefined) return `khw-client pki renew ${name}`;
  if (path.includes("/khw"))
    return "issue a new certificate with khw-client pki issue --role agent, then run khw-client install";
  return path.startsWith("/var/lib/kubernetes/")
    ? "issue a new certificate into the credentials folder, then run khw-client bootstrap"
    : "issue a new certificate, and restart the programs that use it";
}

function operation({ operation: last }: GetStatusResponse): FoundProblem[] {
  const subject = "operation";
  const hint = "to try again, run khw-client bootstrap";
  if (last?.state === OperationState.OPERATION_STATE_FAILED) {
    const { error } = last;
    const why = [error?.step, error?.message].filter(Boolean).join(": ");
    return [{ subject, severity: "warning", message: `the last operation failed: ${why}`, hint: error?.hint || hint }];
  }
  if (last?.state !== OperationState.OPERATION_STATE_INTERRUPTED) return [];
  const { error } = last;
  const meanwhile =
    error === undefined || error.code === "INTERRUPTED"
      ? ""
      : `, while the node was rolled back after ${error.step}: ${error.message}`;
  const message = `the last operation was interrupted because the agent stopped${meanwhile}`;
  return [{ subject, severity: "warning", message, hint }];
}

function agentUpgrade({ agentUpgrade: last }: GetStatusResponse): FoundProblem[] {
  if (last === undefined || last.state === AgentUpgradeState.AGENT_UPGRADE_STATE_DONE) return [];
  const { fromVersion, toVersion, holder, begunUnixMillis, report } = last;
  const which = `the upgrade of the agent from ${fromVersion} to ${toVersion} by ${holder} (${instant(begunUnixMillis)})`;
  const [subject, severity] = ["khw-agent", "warning"] as const;
  const failed = last.state === AgentUpgradeState.AGENT_UPGRADE_STATE_FAILED;
  if (!failed && last.state !== AgentUpgradeState.AGENT_UPGRADE_STATE_ROLLED_BACK)
    return [{ subject, severity, message: `${which} is under way`, hint: "" }];
  const message = `${which} ${failed ? "failed" : "was rolled back"}: ${report}`;
  return [{ subject, severity, message, hint: "fix the cause, then run khw-client agent upgrade again" }];
}

function pausedDrift({ drift: found }: GetStatusResponse): FoundProblem[] {
  if (found === undefined || found.paused === "") return [];
  return [{ subject: "drift", severity: "warning", message: `is not checked: ${found.paused}`, hint: "" }];
}

function loadBalancerProblems({ backends, error }: LoadBalancerState, drained: ReadonlySet<string>): Problem[] {
  const subject = "load balancer";
  const severity = "error";
  if (error !== undefined) return [{ node: "", subject, severity, message: error.message, hint: error.hint ?? "" }];
  return backends
    .filter(({ name, state }) => state !== "HEALTHY" && !drained.has(name))
    .map(({ name, state }) => ({
      node: name,
      subject,
      severity,
      message: `reports ${state}`,
      hint:
        state === "MISSING"
          ? "to add the node to the target pool, run khw-client lb create"
          : "check that nginx is running on this node and that the firewall allows Google's health checks",
    }));
}
