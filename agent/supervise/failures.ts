import type { Liveness } from "./life.ts";

/** The results of a series of probes of one process. */
export interface FailureCount {
  readonly pid: number;
  /** Whether this process has been seen alive. */
  readonly answeredOnce: boolean;
  /** In a row. */
  readonly failures: number;
}

export interface FailureCountOptions {
  readonly liveness: Liveness;
  readonly pid: number;
  /** How long the process has been active, in milliseconds. */
  readonly activeMillis: number;
}

/** A new process gets this long until its first response: an API server on a small machine starts slowly. */
const startMillis = 120_000;

export const noFailures: FailureCount = { pid: 0, answeredOnce: false, failures: 0 };

/** Returns the record after one more probe. A new process gets a new record. */
export function countFailure(before: FailureCount, { liveness, pid, activeMillis }: FailureCountOptions): FailureCount {
  const { answeredOnce, failures } = before.pid === pid ? before : noFailures;
  if (liveness.kind === "alive") return { pid, answeredOnce: true, failures: 0 };
  // The agent could not send the probe, so the result proves nothing, and the series starts again.
  if (liveness.kind === "unknown") return { pid, answeredOnce, failures: 0 };
  return { pid, answeredOnce, failures: answeredOnce || activeMillis >= startMillis ? failures + 1 : 0 };
}

/**
 * Returns how many failures in a row cause a restart. More are allowed for etcd, because everything else waits for its
 * restart.
 */
export function failuresAllowed(component: string): number {
  return component === "etcd" ? 6 : 3;
}
