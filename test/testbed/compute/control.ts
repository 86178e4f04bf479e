import { controlCalls } from "../control-call.ts";
import type { Fault } from "./faults.ts";

/** A request that the API received. */
export interface LogEntry {
  /** The time of the request, in ISO 8601 format. */
  readonly at: string;
  readonly method: string;
  /** The path, which starts at `projects/`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** The body as received; empty if the request had no body. */
  readonly body: string;
  /** The HTTP status, or `cut` if a fault cut the connection before a response was sent. */
  readonly status: number | "cut";
}

/** The emulator's settings, apart from faults. */
export interface Settings {
  /** Milliseconds between a mutation and the DONE status of its operation; initially 50. */
  readonly operationMillis: number;
  /**
   * For this many milliseconds after a resource is deleted, changes to the resources that it referenced fail with
   * `resourceNotReady`; initially 0.
   */
  readonly settleMillis: number;
  /** The bearer token that every request must carry; null (the initial value) if requests need no token. */
  readonly token: string | null;
}

/**
 * A change to the project's resources that bypasses the API. Resources are identified by their paths, which start at
 * `projects/`.
 */
export interface StateChange {
  /** Step 1: resets everything to the initial state. */
  readonly reset?: boolean;
  /** Step 2: removes these resources. */
  readonly remove?: readonly string[];
  /**
   * Step 3: sets these resources. The given fields replace the fields of an existing resource. A new resource gets
   * defaults for all other fields.
   */
  readonly put?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** The state of the load balancer's data plane. */
export interface DataPlaneState {
  /** The addresses and ports of the forwarding rules, with an error if the data plane cannot listen there. */
  readonly listeners: readonly { readonly address: string; readonly port: number; readonly error?: string }[];
  readonly health: readonly {
    readonly pool: string;
    readonly instance: string;
    readonly state: "HEALTHY" | "UNHEALTHY";
    /** Why the last probe failed. */
    readonly reason?: string;
  }[];
}

/** The resources of an emulator, and the state of its data plane. */
export interface State extends DataPlaneState {
  readonly resources: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** A client for the control socket of a running emulator. */
export interface ComputeControl extends AsyncDisposable {
  /** Replaces all faults; without arguments, removes all faults. */
  setFaults(...faults: readonly Fault[]): Promise<void>;
  /** Returns the faults that are still active. */
  faults(): Promise<readonly Fault[]>;
  log(): Promise<readonly LogEntry[]>;
  clearLog(): Promise<void>;
  state(): Promise<State>;
  changeState(change: StateChange): Promise<void>;
  configure(settings: Partial<Settings>): Promise<Settings>;
  /** Returns the number of mutations accepted since the start or the last reset. */
  mutations(): Promise<number>;
}

/**
 * Connects to an emulator's control socket. If the emulator rejects a call, the call's promise rejects with the
 * emulator's message.
 */
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
