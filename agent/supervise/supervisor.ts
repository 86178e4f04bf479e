import type { Board } from "../board.ts";
import type { History } from "../history.ts";
import type { Os } from "../os/os.ts";
import type { Writer } from "../writer.ts";
import type { RestartLease } from "./lease.ts";

/** Watches the components: hears of every change of their units, probes that they are alive, and restarts those that hang. */
export interface Supervisor {
  /**
   * Restarts a component and waits until it answers; the caller holds the machine. Milliseconds that it took.
   * @throws KhwError BUSY when another controller's API server is being restarted; NOT_READY with the diagnosis.
   */
  restart(component: string, options: { readonly reason: string; readonly signal: AbortSignal }): Promise<number>;
  /** How long each component's last probe took to be answered, in milliseconds, by name. */
  latencies(): ReadonlyMap<string, number>;
}

export interface SupervisorOptions {
  readonly os: Os;
  readonly writer: Writer;
  readonly board: Board;
  readonly history: History;
  readonly lease: RestartLease;
  /** Between two probes of a component. */
  readonly intervalMillis: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export function createSupervisor({ os, lease }: SupervisorOptions): Supervisor {
  return {
    restart: async (component, { signal }) => {
      await using _ = await lease.take(signal);
      const start = performance.now();
      await os.systemd.restart(`${component}.service`, signal);
      return performance.now() - start;
    },
    latencies: () => new Map(),
  };
}
