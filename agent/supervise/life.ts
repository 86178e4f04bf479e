import { failingChecks, type HealthCheck } from "../health/health.ts";
import type { ProbeResult } from "../os/os.ts";

/** Whether a component is alive. One that is dead is restarted. Being well is more, and is only shown. */
export type Life =
  | { readonly kind: "alive" }
  /** Nothing is known of it: the agent may be wrong, so nothing is done. */
  | { readonly kind: "unknown"; readonly reason: string }
  | Dead;

export interface Dead {
  readonly kind: "dead";
  readonly reason: string;
  /** It sent not a single byte: it may not hear SIGTERM either. */
  readonly silent: boolean;
}

/** All that a decision about a component that is not well rests on. */
export interface Evidence {
  readonly health: ProbeResult;
  /** The answer of the endpoint that tells life from health; undefined where it was not asked. */
  readonly second: ProbeResult | undefined;
  /** This node's API server was well when last seen. */
  readonly apiServerWell: boolean;
  /** How many connections wait to be accepted at the component's port, by the kernel; undefined: nobody listens there. */
  readonly waiting: number | undefined;
  /** Why the agent cannot trust what it sees; null when it can. */
  readonly doubt: string | null;
}

const alive: Life = { kind: "alive" };

/** Judges a component that is not healthy. A missing answer counts only if nothing else explains it. */
export function lifeOf(check: HealthCheck, evidence: Evidence): Life {
  const answer = evidence.second ?? evidence.health;
  return answer.status === 0 ? withoutAnswer(check, answer, evidence) : withAnswer(check, answer, evidence);
}

function withoutAnswer({ path }: HealthCheck, answer: ProbeResult, { health, waiting, doubt }: Evidence): Life {
  const reason = `${path} does not answer: ${health.body || answer.body}`;
  const dead = (silent: boolean): Life =>
    doubt === null ? { kind: "dead", reason, silent } : { kind: "unknown", reason: doubt };
  const { failure = "own" } = answer;
  switch (failure) {
    case "unverified":
    case "rejected":
    case "closed":
      // Somebody is there, and speaks.
      return alive;
    case "silent":
      return dead(true);
    case "refused":
      return waiting === undefined ? dead(false) : filtered("refused");
    case "unconnected":
      if (waiting === undefined) return dead(false);
      return waiting > 0 ? dead(true) : filtered("dropped");
    case "own":
      return { kind: "unknown", reason: `the agent could not ask: ${answer.body}` };
  }
}

/** The kernel knows a listener that nobody gets through to. */
function filtered(what: string): Life {
  return {
    kind: "unknown",
    reason: `the component listens, and connections to it are ${what}: a firewall on loopback?`,
  };
}

function withAnswer({ component, path }: HealthCheck, answer: ProbeResult, evidence: Evidence): Life {
  const { health, second, apiServerWell } = evidence;
  if (component === "kube-apiserver") {
    // 500 is how it says that a check failed; anything else (429, 403, 504) is the answer of a server that lives. Much of it
    // waits for etcd while that is away, and a fresh process would wait no less.
    if (second?.status !== 500 || failingChecks(health).includes("etcd")) return alive;
    return { kind: "dead", reason: `/livez answers 500, failing: ${failingChecks(second).join(", ")}`, silent: false };
  }
  // nginx's answer is the API server's, or the order to answer 503; etcd's answer is about its cluster.
  if (component === "nginx" || component === "etcd") return alive;
  // The others answer for their hold on the leader's lease, which nobody renews while the API server is away.
  if (!apiServerWell || second?.status === 200) return alive;
  return { kind: "dead", reason: `${path} answers ${answer.status}`, silent: false };
}
