import { constants } from "node:os";
import { DBusError } from "dbus-native";
import { KhwError } from "../../proto/errors.ts";
import { refuse, show } from "../../proto/validate.ts";
import { coalesce } from "./coalesce.ts";
import { describeEnding, endingProperties } from "./ending.ts";
import { readStarts } from "./journal.ts";
import { listen } from "./listen.ts";
import { readProcess } from "./process.ts";
import { connectSystemd, type SystemdBus } from "./systemd-bus.ts";
import type { RunningProcess } from "./process.ts";
import type { UnitChange } from "./systemd-bus.ts";

/** The files from which systemd loaded a unit. */
export interface UnitSources {
  /** The unit's own file; empty if the unit is not loaded. */
  readonly fragment: string;
  /** The drop-ins, in the order in which systemd reads them. */
  readonly dropIns: readonly string[];
}

export interface UnitStatus {
  readonly loadState: string;
  readonly activeState: string;
  readonly subState: string;
  /** "enabled", "disabled", ...; empty if the unit has no unit file. */
  readonly unitFileState: string;
  /** systemd's result for the unit's last run: "success", "exit-code", "start-limit-hit", ... */
  readonly result: string;
  /** Whether the unit's files on disk differ from those that systemd has loaded. */
  readonly needsReload: boolean;
  readonly mainPid: number;
  /** When the unit last became active, in milliseconds since the epoch; 0 if it was never active. */
  readonly activeSince: number;
  /** The same time as `activeSince`, according to Clock.monotonic. */
  readonly activeMonotonic: number;
  /**
   * When the unit's state last changed (start, stop or reload: StateChangeTimestamp), in milliseconds since the
   * epoch.
   */
  readonly stateSince: number;
  readonly restarts: number;
  /**
   * Whether an unmet condition of the unit made systemd skip the last start; absent if systemd did not skip the start.
   */
  readonly unmet?: boolean;
}

/** Talks to systemd over D-Bus. Unit names include the suffix. */
export interface Systemd {
  unit(name: string): Promise<UnitStatus>;
  /** Returns the files from which the unit is currently loaded. */
  sources(name: string): Promise<UnitSources>;
  /** Runs `daemon-reload`. All calls made during a reload share the next reload. */
  reload(): Promise<void>;
  /** Makes systemd start the unit at boot, and runs `daemon-reload`. */
  enable(name: string): Promise<void>;
  /** Removes the links that make systemd start the unit at boot. Does nothing if the unit has no such links. */
  disable(name: string): Promise<void>;
  /**
   * Starts a unit, and waits until the job is done.
   * @throws KhwError SERVICE_FAILED with the job's result
   */
  start(name: string, signal: AbortSignal): Promise<void>;
  restart(name: string, signal: AbortSignal): Promise<void>;
  stop(name: string, signal: AbortSignal): Promise<void>;
  /** Makes a service reload its configuration (ExecReload). */
  reloadService(name: string, signal: AbortSignal): Promise<void>;
  /** Resolves on the next change to the unit's state. Rejects with the signal's reason when the signal aborts. */
  changed(name: string, signal: AbortSignal): Promise<void>;
  /**
   * Calls the listener on every change to these units, until the returned function is called. Reports all units when
   * changes may have been missed, that is, after a reconnection and after `daemon-reload`.
   */
  watch(names: readonly string[], listener: (change: UnitChange) => void): () => void;
  /** Sends SIGKILL to all processes of a unit. Does nothing if the unit has no processes. */
  kill(name: string): Promise<void>;
  /** Clears a unit's failed state, so that systemd can start it again. Does nothing if the unit is not loaded. */
  resetFailed(name: string): Promise<void>;
  /** Returns the last lines that a unit has logged since its last start, oldest first. */
  journal(name: string, lines: number): Promise<string[]>;
  /**
   * Returns the journal lines of a unit's last starts, one list for each start, oldest first. `lines` is the number of
   * lines to read. Flags and stack traces are left out.
   */
  starts(name: string, lines: number): Promise<string[][]>;
  /**
   * Describes how a service's last process exited, in the wording of systemd's journal lines. This works even if the
   * journal lost these lines. Returns no lines while a process is running, or after a successful exit.
   */
  ending(name: string): Promise<string[]>;
  /** Returns the environment, command line and program of a running process; undefined if the process is gone. */
  process(pid: number): Promise<RunningProcess | undefined>;
}

export interface SystemdOptions {
  /** A D-Bus address. */
  readonly address?: string;
  /**
   * The time limit for a job. systemd itself aborts a start that hangs (TimeoutStartSec), so the only purpose of this
   * limit is to guard against a stuck job queue.
   */
  readonly jobMillis?: number;
}

/** Connects to systemd over one D-Bus connection, which lasts until disposal. */
export function createSystemd(options: SystemdOptions = {}): Systemd & AsyncDisposable {
  const { address = "unix:path=/run/dbus/system_bus_socket", jobMillis = 300_000 } = options;
  const bus = connectSystemd(address);
  const reload = coalesce(() => bus.call<void>("Reload", [], { timeout: 120_000 }));
  const job = (member: string, name: string, signal: AbortSignal): Promise<void> =>
    runJob(bus, { member, name: parseUnitName(name), signal, deadlineMillis: jobMillis });

  return {
    unit: (name) => readUnit(bus, parseUnitName(name)),
    sources: async (name) => {
      const found = await bus.properties(parseUnitName(name), "Unit", ["FragmentPath", "DropInPaths"]);
      const dropIns = found["DropInPaths"];
      return { fragment: toText(found["FragmentPath"]), dropIns: Array.isArray(dropIns) ? dropIns.map(toText) : [] };
    },
    reload,
    enable: async (name) => {
      const runtimeOnly = false;
      const force = true;
      await bus.call("EnableUnitFiles", ["asbb", [parseUnitName(name)], runtimeOnly, force]);
      await reload();
    },
    disable: async (name) => {
      const runtimeOnly = false;
      await bus.call("DisableUnitFiles", ["asb", [parseUnitName(name)], runtimeOnly]);
      await reload();
    },
    start: (name, signal) => job("StartUnit", name, signal),
    restart: (name, signal) => job("RestartUnit", name, signal),
    stop: (name, signal) => job("StopUnit", name, signal),
    reloadService: (name, signal) => job("ReloadUnit", name, signal),
    changed: (name, signal) => bus.changed(parseUnitName(name), signal),
    watch: (names, listener) => bus.watch(names.map(parseUnitName), listener),
    kill: (name) =>
      unlessGone(() => bus.call("KillUnit", ["ssi", parseUnitName(name), "all", constants.signals.SIGKILL])),
    resetFailed: (name) => unlessGone(() => bus.call("ResetFailedUnit", ["s", parseUnitName(name)])),
    journal: async (name, lines) => {
      const { InvocationID: invocation } = await bus.properties(parseUnitName(name), "Unit", ["InvocationID"]);
      if (!Buffer.isBuffer(invocation) || invocation.every((byte) => byte === 0)) return [];
      const last = invocation.toString("hex");
      return (await readStarts(name, lines)).find((start) => start.invocation === last)?.lines ?? [];
    },
    starts: async (name, lines) => (await readStarts(parseUnitName(name), lines)).map((start) => start.lines),
    ending: async (name) =>
      describeEnding(name, await bus.properties(parseUnitName(name), "Service", endingProperties)),
    process: readProcess,
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

/**
 * Checks a unit's name against systemd's rules, so that the name cannot be misinterpreted in a match rule or on a
 * command line.
 */
export function parseUnitName(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*\.(service|socket|target|timer|path|mount|slice|scope)$/.test(name)) {
    refuse("unit", `${show(name)} is not a unit name`);
  }
  return name;
}

/**
 * Ignores systemd's errors about a missing process or a unit that is not loaded, because there is nothing left to do.
 */
async function unlessGone(call: () => Promise<void>): Promise<void> {
  try {
    await call();
  } catch (error) {
    const name = error instanceof KhwError && error.cause instanceof DBusError ? error.cause.dbusName : undefined;
    if (name === undefined || !nothingThere.has(name)) throw error;
  }
}

const nothingThere: ReadonlySet<string> = new Set([
  "org.freedesktop.systemd1.NoSuchUnit",
  "org.freedesktop.systemd1.NoSuchProcess",
]);

const unitProperties = [
  "LoadState",
  "ActiveState",
  "SubState",
  "UnitFileState",
  "NeedDaemonReload",
  "ActiveEnterTimestamp",
  "ActiveEnterTimestampMonotonic",
  "StateChangeTimestamp",
  "ConditionResult",
  "ConditionTimestamp",
];
const serviceProperties = ["Result", "MainPID", "NRestarts"];

async function readUnit(bus: SystemdBus, name: string): Promise<UnitStatus> {
  const [unit, service] = await Promise.all([
    bus.properties(name, "Unit", unitProperties),
    name.endsWith(".service") ? bus.properties(name, "Service", serviceProperties) : undefined,
  ]);
  return {
    loadState: toText(unit["LoadState"]),
    activeState: toText(unit["ActiveState"]),
    subState: toText(unit["SubState"]),
    unitFileState: toText(unit["UnitFileState"]),
    result: toText(service?.["Result"]),
    needsReload: unit["NeedDaemonReload"] === true,
    mainPid: Number(service?.["MainPID"] ?? 0),
    activeSince: millis(unit["ActiveEnterTimestamp"]),
    activeMonotonic: millis(unit["ActiveEnterTimestampMonotonic"]),
    stateSince: millis(unit["StateChangeTimestamp"]),
    restarts: Number(service?.["NRestarts"] ?? 0),
    ...(unit["ConditionResult"] === false && millis(unit["ConditionTimestamp"]) > 0 && { unmet: true }),
  };
}

function toText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Converts systemd's microseconds to milliseconds. */
function millis(value: unknown): number {
  return typeof value === "bigint" ? Number(value / 1000n) : 0;
}

interface Job {
  readonly member: string;
  readonly name: string;
  readonly signal: AbortSignal;
  readonly deadlineMillis: number;
}

/** The result of a job that did not finish in time. */
const overdue = "overdue";

/**
 * Queues a job and waits until it is done. After an abort, systemd still runs the job, subject to systemd's own
 * timeouts.
 */
async function runJob(bus: SystemdBus, { member, name, signal, deadlineMillis }: Job): Promise<void> {
  signal.throwIfAborted();
  const ended = new Map<string, string>();
  let job: string | undefined;
  using end = listen<string>(signal, ({ resolve, reject }) => {
    const timer = setTimeout(() => resolve(overdue), deadlineMillis);
    return [
      () => clearTimeout(timer),
      bus.onLost(() => reject(serviceError(name, "the connection to systemd was lost while its job was running"))),
      bus.onJobRemoved((path, result) => {
        ended.set(path, result);
        if (path === job) resolve(result);
      }),
    ];
  });
  job = await bus.call<string>(member, ["ss", name, "replace"], { signal });
  const result = ended.get(job) ?? (await end.outcome);
  if (result === "done") return;
  const { activeState, subState, result: why } = await readUnit(bus, name);
  if (result === overdue) throw late(name, deadlineMillis, `${activeState} (${subState})`);
  throw serviceError(name, `its job ended with "${result}"; the unit is ${activeState} (${subState}), result "${why}"`);
}

function late(name: string, deadlineMillis: number, state: string): KhwError {
  return new KhwError(
    "TIMEOUT",
    `${name}: its job has not finished after ${deadlineMillis / 1000} s; the unit is ${state}`,
    {
      hint: "run `systemctl list-jobs` on the node to see the job that it is waiting for",
    },
  );
}

function serviceError(name: string, message: string): KhwError {
  return new KhwError("SERVICE_FAILED", `${name}: ${message}`, {
    hint: `see \`journalctl --unit=${name}\` on the node`,
  });
}
