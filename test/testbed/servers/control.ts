/** Controls the testbed's own servers remotely, each over its Unix socket. */
import { controlCalls } from "../control-call.ts";

import type { Fault } from "./faults.ts";

/** A request that a server received. */
export interface LogEntry {
  /** The time of the request, in ISO 8601 format. */
  readonly at: string;
  readonly method: string;
  /** The path including the query, as received. */
  readonly path: string;
  /** The caller's address. */
  readonly caller: string;
  /** The request's Range header, if present. */
  readonly range: string | null;
  /** The HTTP status; null if the status has not been sent yet, or is never sent because of a fault. */
  readonly status: number | null;
  /** The number of body bytes sent. */
  readonly bytes: number;
}

/** A client for the control socket of a running server. */
export interface ServerControl {
  /** Replaces all faults; without arguments, removes all faults. */
  setFaults(...faults: readonly Fault[]): Promise<void>;
  /** Returns all requests so far, oldest first. If a response is unfinished, its entry shows the progress. */
  log(): Promise<readonly LogEntry[]>;
  clearLog(): Promise<void>;
}

/**
 * Connects to the control socket of a server. If the server rejects a call, the call's promise rejects with the
 * server's message.
 */
export function connectControl(socketPath: string): ServerControl {
  const { call } = controlCalls(socketPath);
  return {
    setFaults: async (...faults) => call("PUT", "/faults", faults),
    log: async () => call("GET", "/log"),
    clearLog: async () => call("DELETE", "/log"),
  };
}
