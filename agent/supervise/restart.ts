import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { HealthCheck } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { ready } from "../steps/ready.ts";
import type { Writer } from "../state/machine-lock.ts";
import type { Asking } from "./liveness-probe.ts";
import type { Chronicle } from "./incident-log.ts";
import type { RestartLease } from "./restart-lease.ts";
import type { Need } from "./restarter.ts";
import type { Watched } from "./unit-watch.ts";

/** Restarts one component, for whoever asks and for the agent itself. */
export interface Restarting {
  /** As the agent sees need; false when it was not begun, since somebody else has the machine or the turn, or it is not needed any more. */
  readonly mend: (need: Need, count: number) => Promise<boolean>;
  /** As somebody asked; milliseconds until it answered again. @throws KhwError BUSY, NOT_READY, PREFLIGHT_FAILED. */
  readonly restart: (options: { readonly reason: string; readonly signal: AbortSignal }) => Promise<number>;
  /** An end that is being brought about is no crash. */
  underWay(): boolean;
}

export interface RestartingOptions {
  readonly check: HealthCheck;
  readonly os: Os;
  readonly writer: Writer;
  readonly lease: RestartLease;
  readonly watched: Watched;
  readonly chronicle: Chronicle;
  readonly asking: Pick<Asking, "ask">;
  /** Whether its unit, as last seen, is one that shall run and does not. */
  readonly down: () => boolean;
  readonly signal: AbortSignal;
}

const lookAgainMillis = 500;
/** The lease for an API server's restart is held until it is well, but no longer than this. */
const settleMillis = 60_000;

export function createRestarting(options: RestartingOptions): Restarting {
  const { check, os, writer, lease, watched, chronicle, asking, down, signal } = options;
  const { component: name, unit } = check;
  const { systemd, clock } = os;
  const apiServer = name === "kube-apiserver";
  let underWay = false;
  let restarts = 0;

  /** Starts it anew, at once where it does not hear. */
  const renew = async (silent: boolean, ending: AbortSignal): Promise<void> => {
    underWay = true;
    try {
      // It would not hear SIGTERM either, and systemd would wait for it until its time-out.
      if (silent) await systemd.kill(unit);
      await systemd.resetFailed(unit);
      await systemd.restart(unit, ending);
    } finally {
      await watched.look().finally(() => {
        underWay = false;
      });
    }
  };
  const stillNeeded = async (need: Need): Promise<boolean> => {
    await watched.look();
    return need.kind === "down" ? down() : (await asking.ask())?.life.kind === "dead";
  };
  const settled = async (): Promise<void> => {
    const until = clock.monotonic() + settleMillis;
    while (clock.monotonic() < until && watched.component()?.reason !== "") await clock.delay(lookAgainMillis, signal);
  };

  return {
    underWay: () => underWay,
    mend: async (need, count) => {
      if (writer.holder() !== undefined) return false;
      // What is down already cannot be taken from anybody.
      await using held = apiServer && need.kind === "hung" ? await lease.take(signal) : undefined;
      const begun = await writer.yielding(async (ending) => {
        if (!(await stillNeeded(need))) return false;
        restarts += 1;
        watched.tell({ supervisedRestarts: restarts });
        chronicle.mending(need, count);
        await renew(need.kind === "hung" && need.silent, ending);
        return true;
      });
      if (begun === true && held !== undefined) await settled();
      return begun === true;
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
      const found = await asking.ask();
      try {
        await renew(found?.life.kind === "dead" && found.life.silent, signal);
        await ready(restartedCheck(check), []).apply(os, { signal, progress: () => {} });
      } catch (error) {
        chronicle.restarted(reason, toKhwError(error));
        throw error;
      }
      await asking.ask();
      chronicle.restarted(reason);
      return performance.now() - begun;
    },
  };
}

/** nginx is up when it answers at all: it may be drained, or speak for an API server that is not well. */
function restartedCheck(check: HealthCheck): HealthCheck {
  return check.component === "nginx" ? { ...check, wellStatuses: [200, 500, 502, 503, 504] } : check;
}
