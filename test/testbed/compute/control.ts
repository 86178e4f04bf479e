import { controlCalls } from "../control-call.ts";
import type { Fault } from "./faults.ts";

/** One request that the API saw. */
export interface LogEntry {
  /** ISO 8601. */
  readonly at: string;
  readonly method: string;
  /** From `projects/` on. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** As it came; empty when there was none. */
  readonly body: string;
  /** The HTTP status, or `cut` where a fault left the caller without an answer. */
  readonly status: number | "cut";
}

/** How the emulator behaves, apart from faults. */
export interface Settings {
  /** From a mutation to its operation's DONE, in milliseconds; 50 at first. */
  readonly operationMillis: number;
  /** How long what a deleted resource referred to answers `resourceNotReady`, in milliseconds; 0 at first. */
  readonly settleMillis: number;
  /** The bearer token that every request must carry; null, as at first: any or none. */
  readonly token: string | null;
}

/** A change of the project's resources behind the API's back. Resources are named by path, from `projects/` on. */
export interface StateChange {
  /** First forgets everything and goes back to what was there at the start. */
  readonly reset?: boolean;
  /** Then removes these. */
  readonly remove?: readonly string[];
  /** Then sets these: the fields given replace those of a resource that is there, or make a new one with defaults. */
  readonly put?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** What the load balancer's data plane sees and does. */
export interface DataPlaneState {
  /** The addresses and ports of the forwarding rules, and why one could not be listened on. */
  readonly listeners: readonly { readonly address: string; readonly port: number; readonly error?: string }[];
  readonly health: readonly {
    readonly pool: string;
    readonly instance: string;
    readonly state: "HEALTHY" | "UNHEALTHY";
    /** Why the last probe failed. */
    readonly reason?: string;
  }[];
}

/** All that can be seen of an emulator. */
export interface State extends DataPlaneState {
  readonly resources: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** The remote control of a running emulator. */
export interface ComputeControl extends AsyncDisposable {
  /** Replaces all faults; none with no arguments. */
  setFaults(...faults: readonly Fault[]): Promise<void>;
  /** The faults that can still strike. */
  faults(): Promise<readonly Fault[]>;
  log(): Promise<readonly LogEntry[]>;
  clearLog(): Promise<void>;
  state(): Promise<State>;
  changeState(change: StateChange): Promise<void>;
  configure(settings: Partial<Settings>): Promise<Settings>;
  /** How many mutations were accepted since the start or the last reset. */
  mutations(): Promise<number>;
}

/** Connects to the control socket of an emulator. Every call rejects when the emulator refuses it, with its words. */
export function connectControl(socketPath: string): ComputeControl {
  const { call, close } = controlCalls(socketPath);
  return {
    setFaults: async (...faults) => call("PUT", "/faults", faults),
    faults: async () => call("GET", "/faults"),
    log: async () => call("GET", "/log"),
    clearLog: async () => call("DELETE", "/log"),
    state: async () => call("GET", "/state"),
    changeState: async (change) => call("PUT", "/state", change),
    configure: async (settings) => call("PUT", "/settings", settings),
    mutations: async () => (await call<{ readonly count: number }>("GET", "/mutations")).count,
    [Symbol.asyncDispose]: close,
  };
}
