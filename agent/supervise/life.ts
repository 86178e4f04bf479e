import { failingChecks, type HealthCheck } from "../health/health.ts";
import type { ProbeResult } from "../os/probes.ts";

/**
 * Whether a component is alive. A dead component is restarted. A component that is alive but unhealthy is only
 * reported.
 */
export type Liveness =
  | { readonly kind: "alive" }
  /** The state is unknown: the agent itself may be the cause of the missing response, so the agent does nothing. */
  | { readonly kind: "unknown"; readonly reason: string }
  | Dead;

export interface Dead {
  readonly kind: "dead";
  readonly reason: string;
  /** Whether the process sent no byte at all; such a process may also ignore SIGTERM. */
  readonly silent: boolean;
}

/** The evidence for a decision about an unhealthy component. */
export interface Evidence {
  readonly health: ProbeResult;
  /** The response of the endpoint that distinguishes liveness from health; undefined if there was no such request. */
  readonly second: ProbeResult | undefined;
  /** Whether this node's API server was healthy when last probed. */
  readonly apiServerWell: boolean;
  /**
   * How many connections wait to be accepted on the component's port, according to the kernel; undefined if no process
   * listens.
   */
  readonly waiting: number | undefined;
  /** The reason why the agent cannot trust its own observations; null if it can. */
  readonly doubt: string | null;
}

const alive: Liveness = { kind: "alive" };

/** Decides whether an unhealthy component is alive. A missing response counts only if nothing else explains it. */
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
      // The server is alive: it answers.
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

/** Handles a port that has a listener in the kernel's tables but accepts no connection. */
function filtered(what: string): Liveness {
  return {
    kind: "unknown",
    reason: `the component listens, but connections to it are ${what}; check for a firewall on loopback`,
  };
}

function withAnswer({ component, path }: HealthCheck, answer: ProbeResult, evidence: Evidence): Liveness {
  const { health, second, apiServerWell } = evidence;
  if (component === "kube-apiserver") {
    // The API server answers 500 if a check fails. Any other status (429, 403, 504) comes from a live server. Checks
    // that wait for etcd would also wait in a new process.
    if (second?.status !== 500 || failingChecks(health).includes("etcd")) return alive;
    return { kind: "dead", reason: `/livez answers 500, failing: ${failingChecks(second).join(", ")}`, silent: false };
  }
  // nginx passes on the API server's response, or answers 503 while drained. etcd's response is about its cluster.
  if (component === "nginx" || component === "etcd") return alive;
  // The other components report the state of their leader lease, which cannot be renewed while the API server is
  // unavailable.
  if (!apiServerWell || second?.status === 200) return alive;
  return { kind: "dead", reason: `${path} answers ${answer.status}`, silent: false };
}
