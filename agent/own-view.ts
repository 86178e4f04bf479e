import type { Os, SelfFacts } from "./os/os.ts";

/** A timer that is later than this was blocked by the event loop, or the process was stopped. */
const lateMillis = 1_000;
/** A machine with less free memory swaps, or is about to kill a process. */
const freeBytes = 32 * 1024 * 1024;
/** From this share of its memory limit on, the kernel slows the agent down. */
const memoryShare = 0.95;

/**
 * Returns the reason why the agent cannot trust its own observations; null if it can. Every automatic action after
 * a missing answer checks this first, because an exhausted agent sees silence everywhere.
 */
export async function doubtOwnView({ probes }: Pick<Os, "probes">, signal: AbortSignal): Promise<string | null> {
  return doubtOf(await probes.self(signal));
}

export function doubtOf(facts: SelfFacts): string | null {
  if (facts.loopback !== null) return `the agent cannot reach a listener of its own: ${facts.loopback}`;
  if (facts.lateMillis > lateMillis) return `the agent itself is ${Math.round(facts.lateMillis)} ms late`;
  if (facts.freeBytes < freeBytes) return `the machine has ${mebibytes(facts.freeBytes)} MiB of memory left`;
  if (facts.memoryShare > memoryShare) return "the agent has used up the memory that its unit may use";
  return null;
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / (1024 * 1024));
}
