import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Component } from "../../proto/gen/khw/agent/v1/agent.ts";
import { healthChecks } from "../health/health.ts";
import { superviseComponent, type Supervised, type SupervisedOptions } from "./component.ts";

/**
 * Supervises the components: watches their units, probes their liveness, and restarts components that are hung or down.
 */
export interface Supervisor {
  /**
   * Restarts a component and waits until it answers. The caller must hold the machine lock. Returns the duration of the
   * restart in milliseconds.
   * @throws KhwError BUSY while another controller's API server is restarting; NOT_READY with the diagnosis
   */
  restart(component: string, options: { readonly reason: string; readonly signal: AbortSignal }): Promise<number>;
  /** Reads the state of every component and updates the status store. Includes etcd if the machine has it. */
  read(): Promise<Component[]>;
  /** Returns the response time of each component's last probe, in milliseconds, by component name. */
  latencies(): ReadonlyMap<string, number>;
}

export interface SupervisorOptions extends Omit<SupervisedOptions, "random"> {
  /** The time between two probes of a component. */
  readonly intervalMillis: number;
}

export function createSupervisor({ intervalMillis, ...shared }: SupervisorOptions): Supervisor {
  const { os, log, signal } = shared;
  const all = new Map<string, Supervised>(
    healthChecks.map((check) => [check.component, superviseComponent(check, { ...shared, random: Math.random })]),
  );
  const units = new Map([...all.values()].map((supervised, index) => [healthChecks[index]?.unit ?? "", supervised]));

  const stop = os.systemd.watch([...units.keys()], (change) => units.get(change.name)?.changed(change));
  signal.addEventListener("abort", stop, { once: true });
  const beat = (): void => {
    for (const [name, supervised] of all) {
      supervised.beat().catch((error: unknown) => {
        if (!signal.aborted) log(`${name}: ${formatError(toKhwError(error))}`);
      });
    }
  };
  beat();
  // All components are probed together, because waking up the idle agent costs more than sending a request.
  const timer = setInterval(beat, intervalMillis).unref();
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });

  return {
    restart: async (component, options) => {
      const supervised = all.get(component);
      if (supervised === undefined) throw new TypeError(`${component} is not supervised`);
      return supervised.restart(options);
    },
    read: async () => {
      const components = await Promise.all(
        [...all.values()].map(async (supervised) => {
          const { watched } = supervised;
          await watched.look();
          await Promise.all([supervised.ask(), watched.refresh()]);
          return watched.component() ?? [];
        }),
      );
      return components.flat();
    },
    latencies: () => {
      const latencies = [...all].map(([name, supervised]) => [name, supervised.latency()] as const);
      return new Map(latencies.flatMap(([name, latency]) => (latency === undefined ? [] : [[name, latency]])));
    },
  };
}
