import { askHealth, explainHealth, failingChecks, type HealthCheck } from "../health/health.ts";
import type { Os, ProbeResult } from "../os/os.ts";

/** Whether a component is alive: what is not is restarted. Being well is more, and is only shown. */
export type Life = { readonly kind: "alive" } | Dead;

export interface Dead {
  readonly kind: "dead";
  readonly reason: string;
  /** Not a word was heard: it may not hear SIGTERM either. */
  readonly silent: boolean;
}

export interface Examination {
  readonly life: Life;
  /** Null when it is well, else why not. */
  readonly reason: string | null;
  readonly latencyMillis: number;
}

export interface ExamineOptions {
  readonly signal: AbortSignal;
  /** This node's API server was well when last seen. */
  readonly apiServerWell: boolean;
}

const alive: Life = { kind: "alive" };

/** Asks a component how it is. */
export async function examine(check: HealthCheck, os: Os, options: ExamineOptions): Promise<Examination> {
  const { signal } = options;
  const begun = performance.now();
  const health = await askHealth(check, os, { signal, keepAlive: true });
  const latencyMillis = performance.now() - begun;
  // What cannot be asked for want of a file tells nothing of the component.
  if (typeof health === "string") return { life: alive, reason: health, latencyMillis };
  const reason = explainHealth(check, health);
  if (reason === null) return { life: alive, reason, latencyMillis };
  const second = await secondQuestion(check, { os, health, signal });
  return { life: lifeOf(check, { health, second, apiServerWell: options.apiServerWell }), reason, latencyMillis };
}

interface Answers {
  readonly health: ProbeResult;
  /** What the endpoint says that tells life from health; undefined where there is none. */
  readonly second: ProbeResult | undefined;
  readonly apiServerWell: boolean;
}

/**
 * An API server that is not ready is asked whether it is alive, etcd aside: a restart of it brings no etcd back. An etcd that
 * is silent is asked what needs no quorum, a silent nginx what needs no API server.
 */
async function secondQuestion(
  check: HealthCheck,
  { os, health, signal }: { readonly os: Os; readonly health: ProbeResult; readonly signal: AbortSignal },
): Promise<ProbeResult | undefined> {
  const url = secondUrls[check.component];
  if (url === undefined) return undefined;
  // An answer that is no good tells enough of etcd; that nobody listens, of both.
  if (health.status === 0 && health.silent !== true) return undefined;
  if (check.component !== "kube-apiserver" && health.status !== 0) return undefined;
  const asked = await askHealth({ ...check, url }, os, { signal, timeoutMillis: secondTimeoutMillis });
  return typeof asked === "string" ? undefined : asked;
}

/** Whoever was silent once gets less time: both questions fit between two beats. */
const secondTimeoutMillis = 1_500;

const secondUrls: Readonly<Record<string, string | undefined>> = {
  "kube-apiserver": "https://127.0.0.1:6443/livez?verbose&exclude=etcd",
  etcd: "https://127.0.0.1:2379/version",
  // Answered by nginx itself, whatever becomes of the API server that /healthz waits for.
  nginx: "http://127.0.0.1:80/",
};

/** What the answers tell of a component that is not well. */
export function lifeOf({ component, path }: HealthCheck, { health, second, apiServerWell }: Answers): Life {
  const answer = second ?? health;
  if (answer.status === 0) {
    return {
      kind: "dead",
      reason: `${path} does not answer: ${health.body || answer.body}`,
      silent: answer.silent === true,
    };
  }
  if (component === "kube-apiserver") {
    // 500 is how it says that a check failed; anything else (429, 403, 504) is the answer of a server that lives. Much of it
    // waits for etcd while that is away, and a fresh process would wait no less.
    if (second?.status !== 500 || failingChecks(health).includes("etcd")) return alive;
    return { kind: "dead", reason: `/livez answers 500, failing: ${failingChecks(second).join(", ")}`, silent: false };
  }
  // What nginx answers is the API server's word, or an order to say 503; what etcd answers is about its cluster.
  if (component === "nginx" || component === "etcd") return alive;
  // The others answer for their hold on the leader's lease, which nobody renews while the API server is away.
  return apiServerWell ? { kind: "dead", reason: `${path} answers ${answer.status}`, silent: false } : alive;
}
