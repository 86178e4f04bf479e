import { components } from "../../proto/components.ts";
import { formatError } from "../../proto/errors.ts";
import { waitFor, type WaitClock } from "../../proto/wait-for.ts";
import type { HealthFindings } from "./health.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";

/** The parts of a cluster whose problems often disappear on their own within seconds. */
const passing = new Set<string | undefined>([...components, "etcd", "nginx", "khw-agent", "load balancer"]);
const intervalMillis = 2_000;
const patienceMillis = 20_000;

/**
 * Reads the cluster's state. If only components, agents or backends are unhealthy, reads the state repeatedly, for at
 * most 20 seconds. A busy API server can miss a single health check, and an agent that has just started has not checked
 * its components yet.
 */
export async function readSettled<Reading extends HealthFindings>(
  read: () => Promise<Reading>,
  { progress, signal, clock }: ProgressOptions & { readonly clock?: WaitClock },
): Promise<Reading> {
  let waits = 0;
  return waitFor({
    what: "the cluster is not healthy",
    check: async () => {
      const reading = await read();
      const problems = [...reading.findings, ...reading.warnings];
      const [first] = problems;
      const isLast = waits * intervalMillis >= patienceMillis;
      if (first === undefined || isLast || !problems.every(({ step }) => passing.has(step))) {
        return { reached: reading };
      }
      if (waits === 0) note(progress, `waiting up to ${patienceMillis / 1000} s: ${formatError(first).split("\n")[0]}`);
      waits += 1;
      return { seen: first.message };
    },
    deadlineMillis: Infinity,
    intervalMillis,
    signal,
    ...(clock && { clock }),
  });
}
