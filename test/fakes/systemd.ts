import { EventEmitter, once } from "node:events";
import type { RunningProcess } from "../../agent/os/process.ts";
import type { Systemd, UnitStatus } from "../../agent/os/systemd.ts";
import type { UnitChange } from "../../agent/os/systemd-bus.ts";
import { KhwError } from "../../proto/errors.ts";
import type { FakeFiles } from "./files.ts";

interface Unit {
  status: UnitStatus;
  /** The contents of the unit file when systemd last loaded it. */
  loaded: string;
}

export interface FakeSystemd extends Systemd {
  /** The units that fail to start, each with systemd's result, for example "exit-code". */
  readonly failing: Map<string, string>;
  readonly journals: Map<string, string[]>;
  /** How each unit's last processes ended, in systemd's wording. */
  readonly endings: Map<string, string[]>;
  /** The units' drop-ins outside /etc/systemd/system. */
  readonly elsewhere: Map<string, string[]>;
  /** The requests so far, for example "restart nginx.service". */
  readonly changes: readonly string[];
  /**
   * Makes a running service exit without a stop request. The service then stays down, either permanently or until
   * systemd restarts it.
   */
  crash(name: string, result: string, subState?: "failed" | "auto-restart"): void;
  /** Simulates a start request that has no effect because a condition of the unit is not met. */
  keptDown(name: string): Promise<void>;
  /** Simulates systemd restarting a service that ended by itself. */
  autoRestart(name: string): Promise<void>;
}

const folders = ["/etc/systemd/system", "/lib/systemd/system"];

const none: UnitStatus = {
  loadState: "not-found",
  activeState: "inactive",
  subState: "dead",
  unitFileState: "",
  result: "success",
  needsReload: false,
  mainPid: 0,
  activeSince: 0,
  activeMonotonic: 0,
  stateSince: 0,
  restarts: 0,
};

/**
 * Creates a service manager that works on fake files. A reload loads the units from their files. A start creates a
 * process whose environment comes from the loaded file and its drop-ins. The process records the current inode of the
 * ExecStart program. If a drop-in lists files to record, the start first records the digests of the listed files that
 * exist.
 */
export function createFakeSystemd(files: FakeFiles, now: () => number): FakeSystemd {
  const units = new Map<string, Unit>();
  const processes = new Map<number, RunningProcess>();
  const failing = new Map<string, string>();
  const elsewhere = new Map<string, string[]>();
  const journals = new Map<string, string[]>();
  const endings = new Map<string, string[]>();
  const changes: string[] = [];
  const events = new EventEmitter();
  const watchers = new Set<(change: UnitChange) => void>();
  let pids = 1000;

  const fileOf = async (name: string): Promise<string | undefined> => {
    const text = folders.map((folder) => files.text(`${folder}/${name}`)).find((text) => text !== undefined);
    if (text === undefined) return undefined;
    const dropIns = `/etc/systemd/system/${name}.d`;
    const names = (await files.list(dropIns)).toSorted();
    return [text, ...names.map((dropIn) => files.text(`${dropIns}/${dropIn}`))].join("\n");
  };
  const load = async (name: string): Promise<Unit | undefined> => {
    const known = units.get(name);
    const text = await fileOf(name);
    if (known !== undefined || text === undefined) return known;
    const unit = { status: { ...none, loadState: "loaded", unitFileState: "disabled" }, loaded: text };
    units.set(name, unit);
    return unit;
  };
  const set = (name: string, unit: Unit, status: Partial<UnitStatus>): void => {
    unit.status = { ...unit.status, ...status, stateSince: now() };
    events.emit(name);
    for (const watcher of watchers) watcher({ name, ...pick(unit.status) });
  };
  const loadedUnit = async (name: string): Promise<Unit> => {
    const unit = await load(name);
    if (unit === undefined) throw new KhwError("SERVICE_FAILED", `systemd: Unit ${name} not found.`);
    return unit;
  };
  const end = (name: string, unit: Unit, status: Partial<UnitStatus>): void => {
    processes.delete(unit.status.mainPid);
    const [, record] = startRecord.exec(unit.loaded)?.slice(1) ?? [];
    if (record !== undefined) files.drop(record);
    set(name, unit, { mainPid: 0, ...status });
  };
  const begin = async (name: string, unit: Unit, restarts = 0): Promise<void> => {
    if (unit.status.mainPid !== 0) end(name, unit, { activeState: "inactive", subState: "dead" });
    const result = failing.get(name);
    if (result !== undefined) {
      set(name, unit, { activeState: "failed", subState: "failed", result });
      throw new KhwError("SERVICE_FAILED", `${name}: its job ended with "failed"; result "${result}"`);
    }
    await writeRecord(unit.loaded, files);
    const pid = ++pids;
    processes.set(pid, await processOf(unit.loaded, files));
    set(name, unit, {
      activeState: "active",
      subState: "running",
      result: "success",
      mainPid: pid,
      activeSince: now(),
      activeMonotonic: now(),
      restarts,
      unmet: false,
    });
  };
  const reload = async (): Promise<void> => {
    for (const [name, unit] of units) {
      const text = await fileOf(name);
      if (text !== undefined) unit.loaded = text;
      else units.delete(name);
    }
  };

  return {
    elsewhere,
    failing,
    journals,
    endings,
    changes,
    keptDown: async (name) => {
      set(name, await loadedUnit(name), { activeState: "inactive", subState: "dead", unmet: true });
    },
    crash: (name, result, subState = "failed") => {
      const unit = units.get(name);
      if (unit === undefined) throw new Error(`${name} is not loaded`);
      end(name, unit, { activeState: subState === "failed" ? "failed" : "activating", subState, result });
    },
    autoRestart: async (name) => {
      const unit = await loadedUnit(name);
      await begin(name, unit, unit.status.restarts + 1);
    },
    unit: async (name) => {
      const unit = await load(name);
      return unit === undefined ? none : { ...unit.status, needsReload: unit.loaded !== (await fileOf(name)) };
    },
    sources: async (name) => {
      const fragment = folders.map((folder) => `${folder}/${name}`).find((path) => files.text(path) !== undefined);
      const dropIns = `/etc/systemd/system/${name}.d`;
      const names = (await files.list(dropIns)).filter((dropIn) => dropIn.endsWith(".conf")).toSorted();
      const others = [...(elsewhere.get(name) ?? [])];
      return { fragment: fragment ?? "", dropIns: [...names.map((dropIn) => `${dropIns}/${dropIn}`), ...others] };
    },
    reload: async () => {
      changes.push("daemon-reload");
      await reload();
    },
    enable: async (name) => {
      changes.push(`enable ${name}`);
      await reload();
      const unit = await loadedUnit(name);
      unit.status = { ...unit.status, unitFileState: "enabled" };
    },
    disable: async (name) => {
      changes.push(`disable ${name}`);
      const unit = await load(name);
      if (unit !== undefined) unit.status = { ...unit.status, unitFileState: "disabled" };
    },
    start: async (name) => {
      changes.push(`start ${name}`);
      const unit = await loadedUnit(name);
      if (unit.status.activeState !== "active") await begin(name, unit);
    },
    restart: async (name) => {
      changes.push(`restart ${name}`);
      await begin(name, await loadedUnit(name));
    },
    stop: async (name) => {
      changes.push(`stop ${name}`);
      end(name, await loadedUnit(name), { activeState: "inactive", subState: "dead" });
    },
    reloadService: async (name) => {
      changes.push(`reload ${name}`);
      const unit = await loadedUnit(name);
      if (unit.status.activeState !== "active") throw new KhwError("SERVICE_FAILED", `${name} is not active`);
      set(name, unit, {});
    },
    changed: async (name, signal) => {
      try {
        await once(events, name, { signal });
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      }
    },
    watch: (names, listener) => {
      const watcher = (change: UnitChange): void => {
        if (names.includes(change.name)) listener(change);
      };
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    kill: async (name) => {
      changes.push(`kill ${name}`);
      const unit = units.get(name);
      if (unit?.status.activeState === "active")
        end(name, unit, { activeState: "failed", subState: "failed", result: "signal" });
    },
    resetFailed: async (name) => {
      changes.push(`reset-failed ${name}`);
      const unit = units.get(name);
      if (unit?.status.activeState === "failed") set(name, unit, { activeState: "inactive", subState: "dead" });
    },
    journal: async (name, lines) => (journals.get(name) ?? []).slice(-lines),
    starts: async (name, lines) => [(journals.get(name) ?? []).slice(-lines)],
    ending: async (name) => endings.get(name) ?? [],
    process: async (pid) => processes.get(pid),
  };
}

function pick({ activeState, subState }: UnitStatus): Omit<UnitChange, "name"> {
  return { activeState, subState };
}

/** The drop-in line that makes a service record the digests of files before each start. */
const startRecord = /^ExecStartPre=.*sha256sum (.+) >(\S+)/m;

async function writeRecord(unit: string, files: FakeFiles): Promise<void> {
  const [paths = "", record] = startRecord.exec(unit)?.slice(1) ?? [];
  if (record === undefined) return;
  const digests = await Promise.all(paths.split(" ").map(async (path) => [await files.sha256(path), path] as const));
  const found = digests.filter(([digest]) => digest !== undefined);
  files.put(record, found.map((line) => `${line.join("  ")}\n`).join(""), 0o600);
}

/**
 * Returns the process that a unit file's ExecStart and Environment lines describe. Supports only flags that contain no
 * spaces or escapes.
 */
async function processOf(unit: string, files: FakeFiles): Promise<RunningProcess> {
  const argv = (/^ExecStart=(.+)/m.exec(unit.replaceAll("\\\n", " "))?.[1] ?? "").replaceAll("'", "").split(/\s+/);
  const [program = ""] = argv;
  const assignments = [...unit.matchAll(/^Environment="?(\w+)=([^"\n]*)"?$/gm)];
  const environment = Object.fromEntries(assignments.map(([, name = "", value = ""]) => [name, value]));
  const facts = await files.stat(program);
  return { environment, argv, inode: facts?.inode ?? 0n, device: facts?.device ?? 0n };
}
