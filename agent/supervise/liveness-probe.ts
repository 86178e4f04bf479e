import type { StatusStore } from "../state/status-store.ts";
import { type HealthCheck, healthCheckOf } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { type Degradation, createDegradation } from "./degraded.ts";
import type { IncidentLog } from "./incident-log.ts";
import { probeLiveness, type LivenessResult } from "../health/liveness.ts";
import { countFailure, noFailures } from "./failures.ts";
import type { Watched } from "./unit-watch.ts";

/** Probes a component, and counts the failed probes. */
export interface LivenessProbe {
  /**
   * Probes the component; resolves to undefined if it is not running. Calls during a probe share the result of that
   * probe.
   */
  readonly ask: () => Promise<LivenessResult | undefined>;
  /** Probes a new process more often than usual, until it is healthy. */
  follow(): void;
  /** The number of consecutive probes that found the process dead. */
  failures(): number;
  /** The response time of the last probe, in milliseconds. */
  readonly latency: () => number | undefined;
}

export interface LivenessProbeOptions {
  readonly check: HealthCheck;
  readonly os: Os;
  readonly statusStore: StatusStore;
  readonly watched: Watched;
  readonly incidentLog: IncidentLog;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

const followMillis = 500;
const followForMillis = 60_000;

export function createLivenessProbe({
  check,
  os,
  statusStore,
  watched,
  incidentLog,
  log,
  signal,
}: LivenessProbeOptions): LivenessProbe {
  const { component: name } = check;
  const { clock } = os;
  const degradation: Degradation = createDegradation({ check, os, log });
  let record = noFailures;
  let latency: number | undefined;
  let following: NodeJS.Timeout | undefined;
  let probe: Promise<LivenessResult | undefined> | undefined;

  const question = async (): Promise<LivenessResult> => {
    const { components, maintenance } = statusStore.read();
    const apiServerWell = components.some((other) => other.name === "kube-apiserver" && other.reason === "");
    return probeLiveness(healthCheckOf(name, { drained: maintenance.drained }), os, { signal, apiServerWell });
  };
  const askOnce = async (): Promise<LivenessResult | undefined> => {
    const found = await watched.examine(async (unit) => {
      const examined = await question();
      // A dead component is restarted at once, without reading its journal.
      const degradedCause =
        examined.liveness.kind === "dead" ? undefined : await degradation.look(examined.reason, unit);
      return { ...examined, ailment: degradedCause, reason: examined.reason ?? degradedCause?.message ?? null };
    });
    const unit = watched.unit();
    if (found === undefined || unit === undefined) return found;
    latency = found.latencyMillis;
    record = countFailure(record, {
      liveness: found.liveness,
      pid: unit.mainPid,
      activeMillis: clock.monotonic() - unit.activeMonotonic,
    });
    incidentLog.degraded(found.ailment);
    if (found.reason === null) incidentLog.well();
    return found;
  };
  const ask = (): Promise<LivenessResult | undefined> => {
    probe ??= askOnce().finally(() => {
      probe = undefined;
    });
    return probe;
  };
  const followUntil = async (until: number): Promise<void> => {
    clearTimeout(following);
    // A failure is ignored here; the next regular probe reports it.
    const found = await ask().catch(() => undefined);
    if (found === undefined || found.reason === null || clock.monotonic() >= until || signal.aborted) return;
    following = setTimeout(() => void followUntil(until), followMillis).unref();
  };
  signal.addEventListener("abort", () => clearTimeout(following), { once: true });

  return {
    ask,
    follow: () => void followUntil(clock.monotonic() + followForMillis),
    failures: () => record.failures,
    latency: () => latency,
  };
}
