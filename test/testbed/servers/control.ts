/** The remote control of the testbed's own servers, over the Unix socket that each has. */
import { controlCalls } from "../control-call.ts";

import type { Fault } from "./faults.ts";

/** One request that a server saw. */
export interface LogEntry {
  /** ISO 8601. */
  readonly at: string;
  readonly method: string;
  /** With its query, as it came. */
  readonly path: string;
  /** The caller's address. */
  readonly caller: string;
  /** The request's Range header, if it had one. */
  readonly range: string | null;
  /** The HTTP status; null before, and where a fault leaves the caller without one. */
  readonly status: number | null;
  /** Bytes of body that were sent. */
  readonly bytes: number;
}

/** The remote control of a running server. */
export interface ServerControl {
  /** Replaces all faults; none with no arguments. */
  setFaults(...faults: readonly Fault[]): Promise<void>;
  /** All requests so far, oldest first; of an answer that is under way, what it has come to. */
  log(): Promise<readonly LogEntry[]>;
  clearLog(): Promise<void>;
}

/** Connects to a server's control socket. Every call rejects when the server refuses it, with its words. */
export function connectControl(socketPath: string): ServerControl {
  const { call } = controlCalls(socketPath);
  return {
    setFaults: async (...faults) => call("PUT", "/faults", faults),
    log: async () => call("GET", "/log"),
    clearLog: async () => call("DELETE", "/log"),
  };
}
