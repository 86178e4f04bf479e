import type { Liveness } from "../health/life.ts";

/** The results of a series of probes of one process. */
export interface FailureCount {
  readonly pid: number;
  /** Whether this process has been seen alive. */
  readonly answeredOnce: boolean;
  /** The number of consecutive failed probes. */
  readonly failures: number;
}

export interface FailureCountOptions {
  readonly liveness: Liveness;
  readonly pid: number;
  /** How long the process has been active, in milliseconds. */
  readonly activeMillis: number;
}

/** How long a new process may take to send its first response. An API server on a small machine starts slowly. */
const startMillis = 120_000;

export const noFailures: FailureCount = { pid: 0, answeredOnce: false, failures: 0 };

/** Returns the count after one more probe. For a new process, the count starts again at zero. */
export function countFailure(before: FailureCount, { liveness, pid, activeMillis }: FailureCountOptions): FailureCount {
  const { answeredOnce, failures } = before.pid === pid ? before : noFailures;
  if (liveness.kind === "alive") return { pid, answeredOnce: true, failures: 0 };
  // The result proves nothing, because the agent may be at fault. The count starts again at zero.
  if (liveness.kind === "unknown") return { pid, answeredOnce, failures: 0 };
  return { pid, answeredOnce, failures: answeredOnce || activeMillis >= startMillis ? failures + 1 : 0 };
}

/**
 * Returns the number of consecutive failures after which a component is restarted. The number is higher for etcd,
 * because everything else waits while etcd restarts.
 */
export function failuresAllowed(component: string): number {
  return component === "etcd" ? 6 : 3;
}
