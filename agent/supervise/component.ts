import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Board } from "../state/status-store.ts";
import type { HealthCheck } from "../health/health.ts";
import type { History } from "../history/history.ts";
import type { Os, UnitChange, UnitStatus } from "../os/os.ts";
import type { Target } from "../state/desired-state.ts";
import type { Writer } from "../state/machine-lock.ts";
import { type Asking, createAsking } from "./liveness-probe.ts";
import { isTold } from "./backoff.ts";
import { createChronicle } from "./incident-log.ts";
import { crashed } from "./crash.ts";
import type { RestartLease } from "./restart-lease.ts";
import { createMender, type Need } from "./restarter.ts";
import { downNeed, hungNeed } from "./restart-decision.ts";
import { createRestarting, type Restarting } from "./restart.ts";
import { type Watched, watchComponent } from "./unit-watch.ts";

/** A component under supervision. */
export interface Supervised extends Pick<Asking, "ask" | "latency">, Pick<Restarting, "restart"> {
  readonly watched: Watched;
  /** Called when the unit has changed, or may have. */
  changed(change: UnitChange): void;
  /** Probes the component, and restarts it if necessary. */
  beat(): Promise<void>;
}

export interface SupervisedOptions {
  readonly os: Os;
  readonly writer: Writer;
  readonly board: Board;
  readonly history: History;
  readonly lease: RestartLease;
  readonly target: Target;
  readonly random: () => number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export function superviseComponent(check: HealthCheck, options: SupervisedOptions): Supervised {
  const { os, board, history, target, random, log, signal } = options;
  const { component: name, unit } = check;
  let ordered = false;
  let failed = 0;

  const wanted = (need: Need | undefined): Need | undefined => (target.current() === undefined ? undefined : need);
  const ifDown = (now: UnitStatus): Need | undefined =>
    wanted(downNeed(name, now, { ...board.read(), etcdIsOwn: target.current()?.desired.etcd !== undefined }));
  const down = (): boolean => {
    const now = watched.unit();
    return now !== undefined && ifDown(now) !== undefined;
  };

  const watched = watchComponent({
    os,
    check,
    post: (component) => board.post({ components: [component] }),
    seen: (now, before) => {
      if (!restarting.underWay() && crashed(before, now, ordered)) chronicle.crashed(now);
      if (now.activeState !== "active") mender.need(ifDown(now));
      else if (before?.mainPid !== now.mainPid) {
        mender.need(undefined);
        asking.follow();
      }
    },
  });
  const chronicle = createChronicle({ name, unit, os, history, log, tell: (change) => watched.tell(change) });
  const asking = createAsking({ ...options, check, watched, chronicle });
  const restarting = createRestarting({ ...options, check, watched, chronicle, asking, down });
  const mender = createMender({
    clock: os.clock,
    random,
    signal,
    attempt: restarting.mend,
    planned: (nextRestartUnixMillis) => watched.tell({ nextRestartUnixMillis }),
    failed: (error) => {
      failed += 1;
      if (!signal.aborted && isTold(failed)) log(`${name}: ${formatError(toKhwError(error))}`);
    },
  });

  return {
    watched,
    ask: asking.ask,
    latency: asking.latency,
    restart: restarting.restart,
    changed: ({ activeState }) => {
      if (activeState !== undefined) ordered = activeState === "deactivating" || (ordered && activeState !== "active");
      watched.look().catch((error: unknown) => log(`${unit}: ${formatError(toKhwError(error))}`));
    },
    beat: async () => {
      if (watched.unit() === undefined) await watched.look();
      const now = watched.unit();
      if (now?.activeState === "active") {
        const found = await asking.ask();
        mender.need(wanted(hungNeed(name, found, asking.failures())));
      } else if (now !== undefined) mender.need(ifDown(now));
    },
  };
}
