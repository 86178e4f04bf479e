import type { Component } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { HealthCheck } from "../health/health.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";
import {
  type ComponentFacts,
  emulatedVersion,
  inactiveReason,
  installedVersion,
  isHere,
  toComponent,
} from "../health/status.ts";

/** The last known state of a component, with functions that update it. */
export interface Watched {
  /**
   * Returns the published state; undefined before the first read, or if the component does not belong on this machine.
   */
  component(): Component | undefined;
  unit(): UnitStatus | undefined;
  /** Reads the unit, and publishes changes at once. A call during a read waits for the next read. */
  look(): Promise<void>;
  /**
   * Probes the process, and publishes why it is unhealthy. Returns undefined if no process is running, or if the
   * process was replaced or stopped during the probe.
   */
  examine<Found extends { readonly reason: string | null }>(
    ask: (unit: UnitStatus) => Promise<Found>,
  ): Promise<Found | undefined>;
  /** Reads the installed version and the emulated version again. */
  refresh(): Promise<void>;
  /** Publishes the supervisor's diagnosis of the component, and the supervisor's past and planned restarts. */
  tell(change: Partial<Pick<ComponentFacts, "diagnosis" | "supervisedRestarts" | "nextRestartUnixMillis">>): void;
}

export interface WatchedOptions {
  readonly os: Os;
  readonly check: HealthCheck;
  readonly publish: (component: Component) => void;
  /** Called each time the unit has been read; `before` is undefined the first time. */
  readonly seen: (now: UnitStatus, before: UnitStatus | undefined) => void;
}

const started = "it has just started";

export function watchComponent({ os, check, publish, seen }: WatchedOptions): Watched {
  let facts: ComponentFacts | undefined;
  let posted: Component | undefined;

  const set = (change: Partial<ComponentFacts>): void => {
    if (facts === undefined) return;
    const before = facts;
    facts = { ...before, ...change };
    // Most probes have the same result as the previous probe, so there is nothing new to publish.
    if (posted !== undefined && Object.entries(change).every(([key, value]) => Reflect.get(before, key) === value))
      return;
    posted = isHere(check, facts.unit) ? toComponent(facts) : undefined;
    if (posted !== undefined) publish(posted);
  };
  const readVersions = async (): Promise<Pick<ComponentFacts, "version" | "emulatedVersion">> => {
    const [version, emulated] = await Promise.all([installedVersion(check, os), emulatedVersion(check, os)]);
    return { version, emulatedVersion: emulated };
  };
  const refresh = async (): Promise<void> => set(await readVersions());
  const look = coalesce(async () => {
    const unit = await os.systemd.unit(check.unit);
    const before = facts?.unit;
    if (facts === undefined) {
      const versions = await readVersions();
      const nothingYet = { diagnosis: undefined, supervisedRestarts: 0, nextRestartUnixMillis: 0 };
      facts = { name: check.component, unit, ...versions, reason: started, ...nothingYet };
    }
    const same = before?.mainPid === unit.mainPid && before.activeState === unit.activeState;
    const reason = unit.activeState === "active" ? (same ? facts.reason : started) : inactiveReason(unit);
    set({ unit, reason });
    seen(unit, before);
    if (before !== undefined && before.mainPid !== unit.mainPid && unit.mainPid !== 0) await refresh();
  });

  return {
    component: () => posted,
    unit: () => facts?.unit,
    look,
    examine: async (ask) => {
      const unit = facts?.unit;
      if (unit?.activeState !== "active") return undefined;
      const found = await ask(unit);
      if (facts?.unit.mainPid !== unit.mainPid || facts.unit.activeState !== "active") return undefined;
      set({ reason: found.reason });
      return found;
    },
    refresh,
    tell: set,
  };
}
