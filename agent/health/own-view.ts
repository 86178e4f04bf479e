import { KhwError } from "../../proto/errors.ts";
import type { Os } from "../os/os.ts";
import type { SelfFacts } from "../os/self.ts";

/** If a timer fires later than this, the event loop was blocked or the process was stopped. */
const lateMillis = 1_000;
/** If less memory than this is free, the machine is swapping, or the kernel will soon kill a process. */
const freeBytes = 32 * 1024 * 1024;
/** If the agent uses more than this share of its memory limit, the kernel slows it down. */
const memoryShare = 0.95;

/**
 * Returns why the agent cannot trust its own observations; null if it can. To an agent that is short of resources,
 * every component seems to be down, and every step seems to differ. The supervisor therefore calls this function before
 * it counts a missing response. The reconciler calls it before a repair, and `rejoin` calls it before discarding the
 * member's data.
 */
export async function doubtOwnView({ probes }: Pick<Os, "probes">, signal: AbortSignal): Promise<string | null> {
  return doubtOf(await probes.self(signal));
}

/** @throws KhwError NOT_READY if the agent cannot trust its own observations */
export async function demandOwnView(os: Pick<Os, "probes">, signal: AbortSignal): Promise<void> {
  const doubt = await doubtOwnView(os, signal);
  if (doubt !== null) throw distrust(doubt);
}

/** Returns the error for an action that the agent refuses to start while it cannot trust its own observations. */
export function distrust(doubt: string): KhwError {
  return new KhwError(
    "NOT_READY",
    `nothing was changed, because the agent cannot trust its own observations: ${doubt}`,
    {
      hint: "run `ss -s`, `free -m` and `uptime` on the node, and check the firewall on lo; the agent tries again by itself",
    },
  );
}

export function doubtOf(facts: SelfFacts): string | null {
  if (facts.loopback !== null) return `the agent cannot reach its own listener: ${facts.loopback}`;
  if (facts.lateMillis > lateMillis) return `the agent's own timers are ${Math.round(facts.lateMillis)} ms late`;
  if (facts.freeBytes < freeBytes) return `the machine has ${mebibytes(facts.freeBytes)} MiB of memory left`;
  if (facts.memoryShare > memoryShare) return "the agent has reached the memory limit of its unit";
  return null;
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / (1024 * 1024));
}
