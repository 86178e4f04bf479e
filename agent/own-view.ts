import type { Os, SelfFacts } from "./os/os.ts";

/** A timer that runs later than this ran in an event loop that was blocked, or in a process that was stopped. */
const lateMillis = 1_000;
/** A machine with less memory than this to give swaps, or is about to kill something. */
const freeBytes = 32 * 1024 * 1024;
/** The part of the agent's own memory from which on it is slowed down by the kernel. */
const memoryShare = 0.95;

/**
 * Why the agent cannot trust what it sees; null when it can. Every automatic act that rests on a missing answer asks this
 * first: an agent that is exhausted sees silence everywhere.
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
