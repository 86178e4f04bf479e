import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Component } from "../../proto/gen/khw/agent/v1/agent.ts";
import { healthChecks } from "../health/health.ts";
import { superviseComponent, type Supervised, type SupervisedOptions } from "./component.ts";

/** Watches the components: hears of every change of their units, probes that they are alive, and restarts those that hang. */
export interface Supervisor {
  /**
   * Restarts a component and waits until it answers; the caller holds the machine. Milliseconds that it took.
   * @throws KhwError BUSY when another controller's API server is being restarted; NOT_READY with the diagnosis.
   */
  restart(component: string, options: { readonly reason: string; readonly signal: AbortSignal }): Promise<number>;
  /** Every component as it is now, and posts it. etcd is among them where it is on the machine. */
  read(): Promise<Component[]>;
  /** How long each component's last probe took to be answered, in milliseconds, by name. */
  latencies(): ReadonlyMap<string, number>;
}

export interface SupervisorOptions extends Omit<SupervisedOptions, "random"> {
  /** Between two probes of a component. */
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
  // All at once: an idle process pays more for being woken than for a question.
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
