import { failingChecks, type HealthCheck } from "./health.ts";
import type { ProbeResult } from "../os/probes.ts";

/**
 * Whether a component is alive. The agent restarts a dead component. If a component is alive but unhealthy, the agent
 * only reports this.
 */
export type Liveness =
  | { readonly kind: "alive" }
  /** The state is unknown, so the agent does nothing. The agent itself may be the reason why there is no response. */
  | { readonly kind: "unknown"; readonly reason: string }
  | Dead;

export interface Dead {
  readonly kind: "dead";
  readonly reason: string;
  /** Whether the process sent no bytes at all. A silent process may also ignore SIGTERM. */
  readonly silent: boolean;
}

/** The evidence for deciding whether an unhealthy component is alive. */
export interface Evidence {
  readonly health: ProbeResult;
  /**
   * The result of the second request, which tests liveness instead of health; undefined if no second request was sent.
   */
  readonly second: ProbeResult | undefined;
  /** Whether the last probe found this node's API server healthy. */
  readonly apiServerWell: boolean;
  /**
   * How many connections are waiting to be accepted on the component's port, according to the kernel; undefined if no
   * process is listening.
   */
  readonly waiting: number | undefined;
  /** Why the agent cannot trust its own observations; null if the observations are reliable. */
  readonly doubt: string | null;
}

const alive: Liveness = { kind: "alive" };

/**
 * Decides whether an unhealthy component is alive. A missing response counts as evidence only if nothing else explains
 * it.
 */
export function livenessOf(check: HealthCheck, evidence: Evidence): Liveness {
  const answer = evidence.second ?? evidence.health;
  return answer.status === 0 ? withoutAnswer(check, answer, evidence) : withAnswer(check, answer, evidence);
}

function withoutAnswer({ path }: HealthCheck, answer: ProbeResult, { health, waiting, doubt }: Evidence): Liveness {
  const reason = `${path} does not answer: ${health.body || answer.body}`;
  const dead = (silent: boolean): Liveness =>
    doubt === null ? { kind: "dead", reason, silent } : { kind: "unknown", reason: doubt };
  const { failure = "own" } = answer;
  switch (failure) {
    case "unverified":
    case "rejected":
    case "closed":
      // The server is alive, because it reacted to the request.
      return alive;
    case "silent":
      return dead(true);
    case "refused":
      return waiting === undefined ? dead(false) : filtered("refused");
    case "unconnected":
      if (waiting === undefined) return dead(false);
      return waiting > 0 ? dead(true) : filtered("dropped");
    case "own":
      return { kind: "unknown", reason: `the agent could not probe the component: ${answer.body}` };
  }
}

/** Handles a port that accepts no connections although the kernel reports that a process is listening. */
function filtered(what: string): Liveness {
  return {
    kind: "unknown",
    reason: `the component is listening, but connections to it are ${what}; check for a firewall on loopback`,
  };
}

function withAnswer({ component, path }: HealthCheck, answer: ProbeResult, evidence: Evidence): Liveness {
  const { health, second, apiServerWell } = evidence;
  if (component === "kube-apiserver") {
    // The API server answers 500 if one of its checks fails. Any other status (429, 403, 504) comes from a live server.
    // If etcd or a KMS plugin is failing too, a restart does not help, because the new process would also wait. A
    // restart would even do harm, because the running process still has the plugin's data keys.
    if (second?.status !== 500 || [health, second].flatMap(failingChecks).some(isOfOthers)) return alive;
    return { kind: "dead", reason: `/livez answers 500, failing: ${failingChecks(second).join(", ")}`, silent: false };
  }
  // nginx passes on the API server's response, or answers 503 while the node is drained. etcd's response describes the
  // health of its cluster.
  if (component === "nginx" || component === "etcd") return alive;
  // The health of the other components depends on their leader lease, which they cannot renew while the API server is
  // unavailable.
  if (!apiServerWell || second?.status === 200) return alive;
  return { kind: "dead", reason: `${path} answers ${answer.status}`, silent: false };
}

/**
 * Whether one of the API server's checks tests another program. Before Kubernetes 1.29 (kubernetes/kubernetes#120583),
 * /livez includes the check "kms-providers" and the checks of KMS v1, such as "kms-provider-0".
 */
function isOfOthers(check: string): boolean {
  return check === "etcd" || check.startsWith("kms-provider");
}
