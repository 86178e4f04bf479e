/** The remote control of the testbed's own servers, over each server's Unix socket. */
import { controlCalls } from "../control-call.ts";

import type { Fault } from "./faults.ts";

/** A request that a server received. */
export interface LogEntry {
  /** The time of the request, in ISO 8601 format. */
  readonly at: string;
  readonly method: string;
  /** The path with the query, as received. */
  readonly path: string;
  /** The caller's address. */
  readonly caller: string;
  /** The request's Range header, if it had one. */
  readonly range: string | null;
  /** The HTTP status; null before it is sent, or if a fault leaves the caller without a status. */
  readonly status: number | null;
  /** The number of body bytes sent. */
  readonly bytes: number;
}

/** The remote control of a running server. */
export interface ServerControl {
  /** Replaces all faults; without arguments, removes all faults. */
  setFaults(...faults: readonly Fault[]): Promise<void>;
  /** Returns all requests so far, oldest first; for an unfinished response, its progress. */
  log(): Promise<readonly LogEntry[]>;
  clearLog(): Promise<void>;
}

/**
 * Connects to a server's control socket. If the server refuses a call, the call rejects with the server's message.
 */
export function connectControl(socketPath: string): ServerControl {
  const { call } = controlCalls(socketPath);
  return {
    setFaults: async (...faults) => call("PUT", "/faults", faults),
    log: async () => call("GET", "/log"),
    clearLog: async () => call("DELETE", "/log"),
  };
}
