import { KhwError, toKhwError } from "../../proto/errors.ts";
import { waitFor } from "../../proto/wait-for.ts";
import { moveLeader } from "../etcd/move-leader.ts";
import type { HealthCheck } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { refuseWithoutPlugin } from "../steps/kms.ts";
import { ready } from "../steps/ready.ts";
import type { KeptState } from "../state/desired-state.ts";
import type { MachineLock } from "../state/machine-lock.ts";
import type { LivenessProbe } from "./liveness-probe.ts";
import type { IncidentLog } from "./incident-log.ts";
import type { RestartLease } from "./restart-lease.ts";
import type { RestartReason } from "./restarter.ts";
import type { Watched } from "./unit-watch.ts";

/** Restarts one component, either on request or on the agent's own initiative. */
export interface ComponentRestart {
  /**
   * Restarts the component on the agent's own initiative. Returns false if the restart was skipped because an operation
   * holds the machine lock, or because the reason for the restart no longer applies.
   */
  readonly byAgent: (restartReason: RestartReason, count: number) => Promise<boolean>;
  /**
   * Restarts the component on request. Returns how long the component took to answer again, in milliseconds.
   * @throws KhwError BUSY, NOT_READY, COMPONENT_MISSING
   */
  readonly restart: (options: { readonly reason: string; readonly signal: AbortSignal }) => Promise<number>;
  /** Whether a restart is in progress. The exit that a restart causes does not count as a crash. */
  underWay(): boolean;
}

export interface ComponentRestartOptions {
  readonly check: HealthCheck;
  readonly os: Os;
  readonly machineLock: MachineLock;
  readonly keptState: Pick<KeptState, "current">;
  readonly lease: RestartLease;
  readonly watched: Watched;
  readonly incidentLog: IncidentLog;
  readonly probe: Pick<LivenessProbe, "ask">;
  /** Whether the unit should have been running but was not when it was last read. */
  readonly down: () => boolean;
  readonly signal: AbortSignal;
}

const lookAgainMillis = 500;
/** The longest time that the lease is held after a restart if the API server stays unhealthy. */
const settleMillis = 60_000;

export function createComponentRestart(options: ComponentRestartOptions): ComponentRestart {
  const { check, os, machineLock, keptState, lease, watched, incidentLog, probe, down, signal } = options;
  const { component: name, unit } = check;
  const { systemd, clock } = os;
  const apiServer = name === "kube-apiserver";
  let underWay = false;
  let restarts = 0;

  /** Restarts the unit. Kills the process first if it does not respond. */
  const renew = async (silent: boolean, ending: AbortSignal): Promise<void> => {
    underWay = true;
    try {
      // A silent process may also ignore SIGTERM. In that case, systemd would wait until the stop times out.
      if (silent) await systemd.kill(unit);
      await systemd.resetFailed(unit);
      await systemd.restart(unit, ending);
    } finally {
      await watched.look().finally(() => {
        underWay = false;
      });
    }
  };
  /** @throws KhwError NOT_READY if the API server would come back without its KMS plugin */
  const refuseToStop = async (): Promise<void> => {
    if (apiServer) await refuseWithoutPlugin(keptState.current()?.desired.kms, os);
  };
  const stillNeeded = async (restartReason: RestartReason): Promise<boolean> => {
    await watched.look();
    return restartReason.kind === "down" ? down() : (await probe.ask())?.liveness.kind === "dead";
  };
  const settled = async (): Promise<void> => {
    await waitFor<void>({
      what: `${name} is not healthy after its restart`,
      check: async () => {
        const { reason } = watched.component() ?? { reason: "its state is unknown" };
        return reason === "" ? { reached: undefined } : { seen: reason };
      },
      deadlineMillis: settleMillis,
      intervalMillis: lookAgainMillis,
      signal,
      clock,
    }).catch((error: unknown) => {
      // If the component stays unhealthy, the supervisor decides how to proceed. Here, the agent only releases the
      // lease.
      if (!(error instanceof KhwError && error.code === "TIMEOUT")) throw error;
    });
  };

  return {
    underWay: () => underWay,
    byAgent: async (restartReason, count) => {
      if (machineLock.holder() !== undefined) return false;
      if (restartReason.kind === "hung") await refuseToStop();
      // Only a hung API server needs the lease. Starting an API server that is already down interrupts no clients.
      await using held = apiServer && restartReason.kind === "hung" ? await lease.take(signal) : undefined;
      const begun = await machineLock.whenIdle(async (ending) => {
        if (!(await stillNeeded(restartReason))) return false;
        restarts += 1;
        watched.tell({ supervisedRestarts: restarts });
        incidentLog.restarting(restartReason, count);
        await renew(restartReason.kind === "hung" && restartReason.silent, ending);
        return true;
      });
      if (begun === true && held !== undefined) await settled();
      return begun === true;
    },
    restart: async ({ reason, signal }) => {
      await watched.look();
      if (watched.component() === undefined || watched.unit()?.loadState === "not-found") {
        throw new KhwError("COMPONENT_MISSING", `${name} is not on this machine`, {
          hint: "run `khw-client status` to see the components",
        });
      }
      if (watched.unit()?.activeState === "active") await refuseToStop();
      await using _ = apiServer ? await lease.take(signal, { asked: true }) : undefined;
      const begun = performance.now();
      const found = await probe.ask();
      const silent = found?.liveness.kind === "dead" && found.liveness.silent;
      try {
        if (name === "etcd" && !silent) await moveLeader(os, { signal, progress: () => {} });
        await renew(silent, signal);
        await ready(restartedCheck(check), []).apply(os, { signal, progress: () => {} });
      } catch (error) {
        incidentLog.restarted(reason, toKhwError(error));
        throw error;
      }
      await probe.ask();
      incidentLog.restarted(reason);
      return performance.now() - begun;
    },
  };
}

/**
 * Returns the health check to use after a restart. For nginx, any response is sufficient, because the node may be
 * drained or its API server may be unhealthy.
 */
function restartedCheck(check: HealthCheck): HealthCheck {
  return check.component === "nginx" ? { ...check, wellStatuses: [200, 500, 502, 503, 504] } : check;
}
