import type { Board } from "../state/status-store.ts";
import { type HealthCheck, healthCheckOf } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { type Ailing, createAiling } from "./degraded.ts";
import type { Chronicle } from "./incident-log.ts";
import { examine, type Examination } from "./liveness.ts";
import { judge, noRecord } from "./failures.ts";
import type { Watched } from "./unit-watch.ts";

/** Probes a component, and counts the results. */
export interface Asking {
  /** Undefined if the component does not run. Calls during a probe share its answer. */
  readonly ask: () => Promise<Examination | undefined>;
  /** Probes a new process more often than the interval, until it is healthy. */
  follow(): void;
  /** The number of answers in a row that did not come from a live process. */
  failures(): number;
  /** The response time of the last probe, in milliseconds. */
  readonly latency: () => number | undefined;
}

export interface AskingOptions {
  readonly check: HealthCheck;
  readonly os: Os;
  readonly board: Board;
  readonly watched: Watched;
  readonly chronicle: Chronicle;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

const followMillis = 500;
const followForMillis = 60_000;

export function createAsking({ check, os, board, watched, chronicle, log, signal }: AskingOptions): Asking {
  const { component: name } = check;
  const { clock } = os;
  const ailing: Ailing = createAiling({ check, os, log });
  let record = noRecord;
  let latency: number | undefined;
  let following: NodeJS.Timeout | undefined;
  let asking: Promise<Examination | undefined> | undefined;

  const question = async (): Promise<Examination> => {
    const { components, maintenance } = board.read();
    const apiServerWell = components.some((other) => other.name === "kube-apiserver" && other.reason === "");
    return examine(healthCheckOf(name, { drained: maintenance.drained }), os, { signal, apiServerWell });
  };
  const askOnce = async (): Promise<Examination | undefined> => {
    const found = await watched.examine(async (unit) => {
      const examined = await question();
      // A dead component is restarted at once, without a look into its journal.
      const ailment = examined.life.kind === "dead" ? undefined : await ailing.look(examined.reason, unit);
      return { ...examined, ailment, reason: examined.reason ?? ailment?.message ?? null };
    });
    const unit = watched.unit();
    if (found === undefined || unit === undefined) return found;
    latency = found.latencyMillis;
    record = judge(record, {
      life: found.life,
      pid: unit.mainPid,
      activeMillis: clock.monotonic() - unit.activeMonotonic,
    });
    chronicle.ails(found.ailment);
    if (found.reason === null) chronicle.well();
    return found;
  };
  const ask = (): Promise<Examination | undefined> => {
    asking ??= askOnce().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  const followUntil = async (until: number): Promise<void> => {
    clearTimeout(following);
    // A failure here is reported by the next regular probe.
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
