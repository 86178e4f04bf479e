import { formatError, toKhwError } from "../../proto/errors.ts";
import type { StatusStore } from "../state/status-store.ts";
import type { HealthCheck } from "../health/health.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";
import type { UnitChange } from "../os/systemd-bus.ts";
import type { KeptState } from "../state/desired-state.ts";
import type { MachineLock } from "../state/machine-lock.ts";
import { type LivenessProbe, createLivenessProbe } from "./liveness-probe.ts";
import { isReported } from "./backoff.ts";
import { createIncidentLog } from "./incident-log.ts";
import { crashed } from "./crash.ts";
import type { RestartLease } from "./restart-lease.ts";
import { createRestarter, type RestartReason } from "./restarter.ts";
import { downReason, hungReason } from "./restart-decision.ts";
import { createComponentRestart, type ComponentRestart } from "./restart.ts";
import { type Watched, watchComponent } from "./unit-watch.ts";

/** A component under supervision. */
export interface Supervised extends Pick<LivenessProbe, "ask" | "latency">, Pick<ComponentRestart, "restart"> {
  readonly watched: Watched;
  /** Must be called when the unit has changed or may have changed. */
  changed(change: UnitChange): void;
  /** Probes the component, and restarts it if necessary. */
  beat(): Promise<void>;
}

export interface SupervisedOptions {
  readonly os: Os;
  readonly machineLock: MachineLock;
  readonly statusStore: StatusStore;
  readonly history: History;
  readonly lease: RestartLease;
  readonly keptState: KeptState;
  readonly random: () => number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export function superviseComponent(check: HealthCheck, options: SupervisedOptions): Supervised {
  const { os, statusStore, history, keptState, random, log, signal } = options;
  const { component: name, unit } = check;
  let ordered = false;
  let failed = 0;

  const wanted = (restartReason: RestartReason | undefined): RestartReason | undefined =>
    keptState.current() === undefined ? undefined : restartReason;
  const ifDown = (now: UnitStatus): RestartReason | undefined =>
    wanted(
      downReason(name, now, { ...statusStore.read(), etcdIsOwn: keptState.current()?.desired.etcd !== undefined }),
    );
  const down = (): boolean => {
    const now = watched.unit();
    return now !== undefined && ifDown(now) !== undefined;
  };

  const watched = watchComponent({
    os,
    check,
    publish: (component) => statusStore.publish({ components: [component] }),
    seen: (now, before) => {
      if (!componentRestart.underWay() && crashed(before, now, ordered)) incidentLog.crashed(now);
      if (now.activeState !== "active") restarter.want(ifDown(now));
      else if (before?.mainPid !== now.mainPid) {
        restarter.want(undefined);
        probe.follow();
      }
    },
  });
  const incidentLog = createIncidentLog({ name, unit, os, history, log, tell: (change) => watched.tell(change) });
  const probe = createLivenessProbe({ ...options, check, watched, incidentLog });
  const componentRestart = createComponentRestart({ ...options, check, watched, incidentLog, probe, down });
  const restarter = createRestarter({
    clock: os.clock,
    random,
    signal,
    attempt: componentRestart.byAgent,
    planned: (nextRestartUnixMillis) => watched.tell({ nextRestartUnixMillis }),
    failed: (error) => {
      failed += 1;
      if (!signal.aborted && isReported(failed)) log(`${name}: ${formatError(toKhwError(error))}`);
    },
  });

  return {
    watched,
    ask: probe.ask,
    latency: probe.latency,
    restart: componentRestart.restart,
    changed: ({ activeState }) => {
      if (activeState !== undefined) ordered = activeState === "deactivating" || (ordered && activeState !== "active");
      watched.look().catch((error: unknown) => log(`${unit}: ${formatError(toKhwError(error))}`));
    },
    beat: async () => {
      if (watched.unit() === undefined) await watched.look();
      const now = watched.unit();
      if (now?.activeState === "active") {
        const found = await probe.ask();
        restarter.want(wanted(hungReason(name, found, probe.failures())));
      } else if (now !== undefined) restarter.want(ifDown(now));
    },
  };
}
