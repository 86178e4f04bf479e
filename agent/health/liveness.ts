import { askHealth, explainHealth, type HealthCheck } from "./health.ts";
import type { Os } from "../os/os.ts";
import type { ProbeResult } from "../os/probes.ts";
import { doubtOwnView } from "./own-view.ts";
import { type Liveness, livenessOf } from "./life.ts";

export interface LivenessResult {
  readonly liveness: Liveness;
  /** Why the component is unhealthy; null if it is healthy. */
  readonly reason: string | null;
  readonly latencyMillis: number;
}

export interface ExamineOptions {
  readonly signal: AbortSignal;
  /** Whether the last probe found this node's API server healthy. */
  readonly apiServerWell: boolean;
}

/** Probes a component once. */
export async function probeLiveness(check: HealthCheck, os: Os, options: ExamineOptions): Promise<LivenessResult> {
  const { signal, apiServerWell } = options;
  const begun = performance.now();
  const health = await askHealth(check, os, { signal, keepAlive: true });
  const latencyMillis = performance.now() - begun;
  if (typeof health === "string") {
    // A file that the probe needs is missing, so the result says nothing about the component.
    return { liveness: { kind: "unknown", reason: health }, reason: health, latencyMillis };
  }
  const reason = explainHealth(check, health);
  if (reason === null) return { liveness: { kind: "alive" }, reason, latencyMillis };
  const second = await secondQuestion(check, { os, health, signal });
  const unanswered = (second ?? health).status === 0;
  const [waiting, doubt] = await Promise.all([
    unanswered ? os.probes.waiting(portOf(check)) : undefined,
    unanswered ? doubtOwnView(os, signal) : null,
  ]);
  const liveness = livenessOf(check, { health, second, apiServerWell, waiting, doubt });
  return { liveness, reason: liveness.kind === "unknown" ? `${reason} (${liveness.reason})` : reason, latencyMillis };
}

/**
 * Sends a second request if the first result does not show whether the component is alive. An API server that is not
 * ready gets a liveness request that ignores etcd. Restarting the API server would not repair etcd. A silent etcd gets
 * a request that needs no quorum. A silent nginx gets a request that does not need the API server. Other components get
 * the same request on a new connection, because the keep-alive connection may be broken.
 */
async function secondQuestion(
  check: HealthCheck,
  { os, health, signal }: { readonly os: Os; readonly health: ProbeResult; readonly signal: AbortSignal },
): Promise<ProbeResult | undefined> {
  const unheard = health.failure === "silent" || health.failure === "unconnected";
  // A refused connection needs no second request. A bad response needs a second request only if the response comes from
  // the API server.
  if (!unheard && (health.status === 0 || check.component !== "kube-apiserver")) return undefined;
  const url = secondUrls[check.component] ?? check.url;
  const asked = await askHealth({ ...check, url }, os, { signal, timeoutMillis: secondTimeoutMillis });
  return typeof asked === "string" ? undefined : asked;
}

/** The second request has a shorter time limit, so that both requests fit between two probes. */
const secondTimeoutMillis = 1_500;

const secondUrls: Readonly<Record<string, string | undefined>> = {
  "kube-apiserver": "https://127.0.0.1:6443/livez?verbose&exclude=etcd",
  etcd: "https://127.0.0.1:2379/version",
  // nginx itself answers this request, whereas /healthz depends on the API server.
  nginx: "http://127.0.0.1:80/",
};

function portOf({ url }: HealthCheck): number {
  const { port, protocol } = new URL(url);
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}
