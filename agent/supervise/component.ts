import { DriftPolicy } from "../../proto/gen/khw/agent/v1/agent.ts";
import { formatError, KhwError, toKhwError } from "../../proto/errors.ts";
import type { Board } from "../board.ts";
import { type HealthCheck, healthCheckOf } from "../health.ts";
import type { History } from "../history.ts";
import type { Os, UnitChange, UnitStatus } from "../os/os.ts";
import { ready } from "../steps/ready.ts";
import type { Target } from "../target.ts";
import type { Writer } from "../writer.ts";
import { isTold } from "./backoff.ts";
import { crashed } from "./crash.ts";
import { createChronicle } from "./chronicle.ts";
import type { Examination } from "./examine.ts";
import { failuresAllowed, judge, noRecord } from "./failures.ts";
import type { RestartLease } from "./lease.ts";
import { createMender, type Need } from "./mend.ts";
import { type Watched, watchComponent } from "./watched.ts";

/** One component under supervision. */
export interface Supervised {
  readonly watched: Watched;
  /** Its unit changed, or may have. */
  changed(change: UnitChange): void;
  /** Asks how it is, and does what that calls for. */
  beat(): Promise<void>;
  /** Asks how it is; undefined when it does not run. Who asks meanwhile shares the answer. */
  inquire(): Promise<Examination | undefined>;
  restart(options: { readonly reason: string; readonly signal: AbortSignal }): Promise<number>;
  /** How long its last answer took, in milliseconds. */
  latency(): number | undefined;
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

/** What has just been started is asked more often than on the beat, for so long. */
const followMillis = 500;
const followForMillis = 60_000;
/** The lease for an API server's restart is held until it is well, but no longer than this. */
const settleMillis = 60_000;

export function superviseComponent(check: HealthCheck, options: SupervisedOptions): Supervised {
  const { os, writer, board, history, lease, target, random, log, signal } = options;
  const { systemd, clock } = os;
  const { component: name, unit } = check;
  const apiServer = name === "kube-apiserver";
  let record = noRecord;
  let ordered = false;
  /** An end that the agent itself brings about is no crash. */
  let expected = false;
  let latency: number | undefined;
  let restarts = 0;
  let following: NodeJS.Timeout | undefined;
  let asking: Promise<Examination | undefined> | undefined;

  const watched = watchComponent({
    os,
    check,
    post: (component) => board.post({ components: [component] }),
    seen: (now, before) => {
      if (!expected && crashed(before, now, ordered)) chronicle.crashed(now);
      if (now.activeState !== "active") mender.need(needOf(now));
      else if (before?.mainPid !== now.mainPid) {
        mender.need(undefined);
        void follow(clock.now() + followForMillis);
      }
    },
  });
  const chronicle = createChronicle({ name, unit, os, history, log, tell: (change) => watched.tell(change) });

  const ask = async (): Promise<Examination | undefined> => {
    const {
      components,
      maintenance: { drained },
    } = board.read();
    const apiServerWell = components.some((other) => other.name === "kube-apiserver" && other.reason === "");
    const found = await watched.examine(healthCheckOf(name, { drained }), { signal, apiServerWell });
    const now = watched.unit();
    if (found === undefined || now === undefined) return found;
    latency = found.latencyMillis;
    record = judge(record, { life: found.life, pid: now.mainPid, activeMillis: clock.now() - now.activeSince });
    if (found.reason === null) chronicle.well();
    return found;
  };
  /** One question at a time: who asks meanwhile shares its answer. */
  const askOnce = (): Promise<Examination | undefined> => {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  const follow = async (until: number): Promise<void> => {
    clearTimeout(following);
    // What fails here is told on the beat.
    const found = await askOnce().catch(() => undefined);
    if (found === undefined || found.reason === null || clock.now() >= until || signal.aborted) return;
    following = setTimeout(() => void follow(until), followMillis).unref();
  };

  const shallRun = (now: UnitStatus): boolean => {
    if (target.current() === undefined || now.loadState !== "loaded" || now.unitFileState !== "enabled") return false;
    if (now.activeState === "failed") return true;
    const { maintenance, drift } = board.read();
    const report = drift.policy === DriftPolicy.DRIFT_POLICY_REPORT;
    // Who stops etcd, or anything on a drained node, does so on purpose; elsewhere it is drift.
    return now.activeState === "inactive" && name !== "etcd" && !maintenance.drained && !report;
  };
  const needOf = (now: UnitStatus): Need | undefined =>
    shallRun(now) ? { kind: "down", reason: `it was ${now.activeState} (${now.result})` } : undefined;
  const hungNeed = (found: Examination | undefined): Need | undefined => {
    if (found?.life.kind !== "dead" || record.failures < failuresAllowed(name)) return undefined;
    return target.current() === undefined ? undefined : { ...found.life, kind: "hung" };
  };

  /** Starts it anew, at once where it does not hear. */
  const renew = async (silent: boolean, ending: AbortSignal): Promise<void> => {
    expected = true;
    try {
      // It would not hear SIGTERM either, and systemd would wait for it until its time-out.
      if (silent) await systemd.kill(unit);
      await systemd.resetFailed(unit);
      await systemd.restart(unit, ending);
    } finally {
      await watched.look().finally(() => {
        expected = false;
      });
    }
  };
  const stillNeeded = async (need: Need): Promise<boolean> => {
    await watched.look();
    const now = watched.unit();
    if (need.kind === "down") return now !== undefined && shallRun(now);
    return (await askOnce())?.life.kind === "dead";
  };
  const attempt = async (need: Need, count: number): Promise<boolean> => {
    if (writer.holder() !== undefined) return false;
    // What is down already cannot be taken from anybody.
    await using _ = apiServer && need.kind === "hung" ? await lease.take(signal) : undefined;
    const begun = await writer.yielding(async (ending) => {
      if (!(await stillNeeded(need))) return false;
      restarts += 1;
      watched.tell({ supervisedRestarts: restarts });
      chronicle.mending(need, count);
      await renew(need.kind === "hung" && need.silent, ending);
      return true;
    });
    if (begun === true && _ !== undefined) await settled();
    return begun === true;
  };
  const settled = async (): Promise<void> => {
    const until = clock.now() + settleMillis;
    while (clock.now() < until && watched.component()?.reason !== "") await clock.delay(followMillis, signal);
  };
  let failed = 0;
  const mender = createMender({
    clock,
    random,
    signal,
    attempt,
    planned: (nextRestartUnixMillis) => watched.tell({ nextRestartUnixMillis }),
    failed: (error) => {
      failed += 1;
      if (!signal.aborted && isTold(failed)) log(`${name}: ${formatError(toKhwError(error))}`);
    },
  });
  signal.addEventListener("abort", () => clearTimeout(following), { once: true });

  return {
    watched,
    inquire: askOnce,
    latency: () => latency,
    changed: ({ activeState }) => {
      if (activeState !== undefined) ordered = activeState === "deactivating" || (ordered && activeState !== "active");
      watched.look().catch((error: unknown) => log(`${unit}: ${formatError(toKhwError(error))}`));
    },
    beat: async () => {
      if (watched.unit() === undefined) await watched.look();
      const now = watched.unit();
      if (now?.activeState === "active") mender.need(hungNeed(await askOnce()));
      else if (now !== undefined) mender.need(needOf(now));
    },
    restart: async ({ reason, signal }) => {
      await watched.look();
      if (watched.component() === undefined || watched.unit()?.loadState === "not-found") {
        throw new KhwError("PREFLIGHT_FAILED", `${name} is not on this machine`, {
          hint: "`khw-client status` shows what is",
        });
      }
      await using _ = apiServer ? await lease.take(signal, { asked: true }) : undefined;
      const begun = performance.now();
      const found = await askOnce();
      try {
        await renew(found?.life.kind === "dead" && found.life.silent, signal);
        await ready(restartedCheck(check), []).apply(os, { signal, progress: () => {} });
      } catch (error) {
        chronicle.restarted(reason, toKhwError(error));
        throw error;
      }
      await askOnce();
      chronicle.restarted(reason);
      return performance.now() - begun;
    },
  };
}

/** nginx is up when it answers at all: it may be drained, or speak for an API server that is not well. */
function restartedCheck(check: HealthCheck): HealthCheck {
  return check.component === "nginx" ? { ...check, wellStatuses: [200, 500, 502, 503, 504] } : check;
}
