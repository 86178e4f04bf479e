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

/** Restarts one component, on request or by the agent's own decision. */
export interface Restarting {
  /**
   * Restarts by the agent's decision. Returns false if it was skipped: another holds the machine or the lease, or
   * the reason is gone.
   */
  readonly mend: (need: Need, count: number) => Promise<boolean>;
  /**
   * Restarts on request; returns the milliseconds until the component answered again.
   * @throws KhwError BUSY, NOT_READY, PREFLIGHT_FAILED
   */
  readonly restart: (options: { readonly reason: string; readonly signal: AbortSignal }) => Promise<number>;
  /** Whether a restart is running: the end that it causes is not a crash. */
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
  /** Whether the unit should run and does not, when last read. */
  readonly down: () => boolean;
  readonly signal: AbortSignal;
}

const lookAgainMillis = 500;
/** The lease for an API server's restart is held until it is healthy, but no longer than this. */
const settleMillis = 60_000;

export function createRestarting(options: RestartingOptions): Restarting {
  const { check, os, writer, lease, watched, chronicle, asking, down, signal } = options;
  const { component: name, unit } = check;
  const { systemd, clock } = os;
  const apiServer = name === "kube-apiserver";
  let underWay = false;
  let restarts = 0;

  /** Restarts the unit; kills the process first if it does not respond. */
  const renew = async (silent: boolean, ending: AbortSignal): Promise<void> => {
    underWay = true;
    try {
      // A silent process may ignore SIGTERM too, and systemd would wait for its time-out.
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
      // Only a hung API server needs the lease: one that is already down serves no clients.
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

/**
 * Returns the check after a restart. nginx counts as restarted when it answers at all: it may be drained, or report
 * an unhealthy API server.
 */
function restartedCheck(check: HealthCheck): HealthCheck {
  return check.component === "nginx" ? { ...check, wellStatuses: [200, 500, 502, 503, 504] } : check;
}
