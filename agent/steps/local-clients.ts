import { components } from "../../proto/components.ts";
import type { Os } from "../os/os.ts";

/** The controller manager and the scheduler. Both connect to the API server of their own node. */
export interface LocalClients {
  /**
   * Stops both programs before the API server starts or restarts, for two reasons:
   *
   * - From Kubernetes 1.21 on, a stopping API server waits for clients to end their watches. While these two clients
   *   run, the stop takes 15 s, and systemd has to kill the API server.
   * - When the components change to an older release, no client may be newer than its API server.
   *
   * Each program's own step starts the program again as soon as the API server is ready.
   */
  readonly stop: (signal: AbortSignal) => Promise<void>;
  /**
   * Starts the programs that `stop` has stopped and that are still not running. Call this at the end of each Apply,
   * because the steps that start the programs do not run if an earlier step fails. Tries to start both programs, and
   * then throws the first error.
   */
  readonly startAgain: (signal: AbortSignal) => Promise<void>;
}

/** The components that connect to the API server of their own node. */
export const localClients = components.filter((component) => component !== "kube-apiserver");

const stoppedStates: ReadonlySet<string> = new Set(["inactive", "failed"]);
/** Without `deactivating`: a stop that was requested earlier may still be in progress. */
const runningStates: ReadonlySet<string> = new Set(["active", "activating", "reloading"]);

const units = localClients.map((component) => `${component}.service`);

export function createLocalClients({ systemd }: Pick<Os, "systemd">): LocalClients {
  const stopped = new Set<string>();
  const isIn = async (unit: string, states: ReadonlySet<string>): Promise<boolean> =>
    states.has((await systemd.unit(unit)).activeState);
  return {
    stop: async (signal) => {
      for (const unit of units) {
        if (await isIn(unit, stoppedStates)) continue;
        stopped.add(unit);
        await systemd.stop(unit, signal);
      }
    },
    startAgain: async (signal) => {
      const left = [...stopped];
      stopped.clear();
      const results = await Promise.allSettled(
        left.map(async (unit) => {
          if (!(await isIn(unit, runningStates))) await systemd.start(unit, signal);
        }),
      );
      for (const result of results) if (result.status === "rejected") throw result.reason;
    },
  };
}
