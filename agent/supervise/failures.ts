import type { Life } from "./life.ts";

/** What a row of examinations says of one process. */
export interface Record {
  readonly pid: number;
  /** This process has been seen alive. */
  readonly livedOnce: boolean;
  /** In a row. */
  readonly failures: number;
}

export interface Judging {
  readonly life: Life;
  readonly pid: number;
  /** For how long it has been active, in milliseconds. */
  readonly activeMillis: number;
}

/** As long may a process take that has not answered yet: an API server on a small machine is slow to start. */
const startMillis = 120_000;

export const noRecord: Record = { pid: 0, livedOnce: false, failures: 0 };

/** The record after one more examination; another process begins anew. */
export function judge(before: Record, { life, pid, activeMillis }: Judging): Record {
  const { livedOnce, failures } = before.pid === pid ? before : noRecord;
  if (life.kind === "alive") return { pid, livedOnce: true, failures: 0 };
  // An answer that the agent could not ask for says nothing; the row begins again.
  if (life.kind === "unknown") return { pid, livedOnce, failures: 0 };
  return { pid, livedOnce, failures: livedOnce || activeMillis >= startMillis ? failures + 1 : 0 };
}

/** So many failures in a row and it is restarted. etcd gets longer: whatever rests on it waits for it. */
export function failuresAllowed(component: string): number {
  return component === "etcd" ? 6 : 3;
}
