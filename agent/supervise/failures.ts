import type { Life } from "./life.ts";

/** The results of a series of probes of one process. */
export interface Record {
  readonly pid: number;
  /** Whether this process has been seen alive. */
  readonly livedOnce: boolean;
  /** In a row. */
  readonly failures: number;
}

export interface Judging {
  readonly life: Life;
  readonly pid: number;
  /** How long the process has been active, in milliseconds. */
  readonly activeMillis: number;
}

/** A process that has not answered yet may take this long: an API server on a small machine starts slowly. */
const startMillis = 120_000;

export const noRecord: Record = { pid: 0, livedOnce: false, failures: 0 };

/** Returns the record after one more probe. A new process gets a new record. */
export function judge(before: Record, { life, pid, activeMillis }: Judging): Record {
  const { livedOnce, failures } = before.pid === pid ? before : noRecord;
  if (life.kind === "alive") return { pid, livedOnce: true, failures: 0 };
  // The agent could not ask, so the result proves nothing; the series begins again.
  if (life.kind === "unknown") return { pid, livedOnce, failures: 0 };
  return { pid, livedOnce, failures: livedOnce || activeMillis >= startMillis ? failures + 1 : 0 };
}

/**
 * Returns how many failures in a row cause a restart. etcd gets longer, because everything else waits for its
 * restart.
 */
export function failuresAllowed(component: string): number {
  return component === "etcd" ? 6 : 3;
}
