import { askHealth, explainHealth, type HealthCheck } from "../health/health.ts";
import type { Os, ProbeResult } from "../os/os.ts";
import { doubtOwnView } from "../own-view.ts";
import { type Life, lifeOf } from "./life.ts";

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

/** Asks a component how it is. */
export async function examine(check: HealthCheck, os: Os, options: ExamineOptions): Promise<Examination> {
  const { signal, apiServerWell } = options;
  const begun = performance.now();
  const health = await askHealth(check, os, { signal, keepAlive: true });
  const latencyMillis = performance.now() - begun;
  if (typeof health === "string") {
    // A question that cannot be asked because a file is missing says nothing about the component.
    return { life: { kind: "unknown", reason: health }, reason: health, latencyMillis };
  }
  const reason = explainHealth(check, health);
  if (reason === null) return { life: { kind: "alive" }, reason, latencyMillis };
  const second = await secondQuestion(check, { os, health, signal });
  const unanswered = (second ?? health).status === 0;
  const [waiting, doubt] = await Promise.all([
    unanswered ? os.probes.waiting(portOf(check)) : undefined,
    unanswered ? doubtOwnView(os, signal) : null,
  ]);
  const life = lifeOf(check, { health, second, apiServerWell, waiting, doubt });
  return { life, reason: life.kind === "unknown" ? `${reason} (${life.reason})` : reason, latencyMillis };
}

/**
 * An API server that is not ready is asked whether it is alive, etcd aside: a restart of it brings no etcd back. An etcd that
 * is silent is asked what needs no quorum, a silent nginx what needs no API server. The others are asked the same again, on a
 * connection of its own: the kept one may be what is broken.
 */
async function secondQuestion(
  check: HealthCheck,
  { os, health, signal }: { readonly os: Os; readonly health: ProbeResult; readonly signal: AbortSignal },
): Promise<ProbeResult | undefined> {
  const unheard = health.failure === "silent" || health.failure === "unconnected";
  // An answer that is no good tells enough of every other; that nobody listens, of all.
  if (!unheard && (health.status === 0 || check.component !== "kube-apiserver")) return undefined;
  const url = secondUrls[check.component] ?? check.url;
  const asked = await askHealth({ ...check, url }, os, { signal, timeoutMillis: secondTimeoutMillis });
  return typeof asked === "string" ? undefined : asked;
}

/** A component that was silent once gets less time: both questions fit between two probes. */
const secondTimeoutMillis = 1_500;

const secondUrls: Readonly<Record<string, string | undefined>> = {
  "kube-apiserver": "https://127.0.0.1:6443/livez?verbose&exclude=etcd",
  etcd: "https://127.0.0.1:2379/version",
  // Answered by nginx itself, whatever becomes of the API server that /healthz waits for.
  nginx: "http://127.0.0.1:80/",
};

function portOf({ url }: HealthCheck): number {
  const { port, protocol } = new URL(url);
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}
