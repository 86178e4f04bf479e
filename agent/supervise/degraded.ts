import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Diagnosis } from "../../proto/gen/khw/agent/v1/agent.ts";
import { degradedCauses, silentlyDegraded } from "../diagnose/degraded.ts";
import { diagnoseRunning } from "../diagnose/running.ts";
import type { HealthCheck } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";

/**
 * Determines why a running component does not work. The cause is looked up in the journal, which is not read for every
 * probe.
 */
export interface Degradation {
  /** @param reason why the health check fails; null if the component is healthy */
  look(reason: string | null, unit: UnitStatus): Promise<Diagnosis | undefined>;
}

export interface DegradationOptions {
  readonly check: HealthCheck;
  readonly os: Os;
  readonly log: (line: string) => void;
}

/**
 * How long a new process may take to start. The process may be waiting for other processes that started at the same
 * time.
 */
const startMillis = 15_000;
/** A problem that disappears within this time is not diagnosed. */
const unwellMillis = 4_000;
const ailingMillis = 5_000;
/**
 * If the journal of a healthy component shows a problem, the agent reads the journal again after this delay. The
 * problem is reported only if the second read shows it too. The delay is longer than the period that one read of the
 * journal covers. The second read is needed because a newly started API server rejects its clients for a few seconds.
 */
const confirmMillis = 15_000;
/**
 * How often the journal of a healthy component is checked. A component on standby shows no failure, so a rejected
 * credential can go unnoticed for this long.
 */
const wellMillis = 600_000;

export function createDegradation({ check, os, log }: DegradationOptions): Degradation {
  const { component } = check;
  const { clock } = os;
  const quietly = silentlyDegraded.has(component);
  const knowsAny = degradedCauses.some(({ components }) => components?.includes(component));
  let pid = 0;
  let due = 0;
  let unwell = false;
  let standing: Diagnosis | undefined;
  /** A cause that was found for a healthy component; the next check must confirm it. */
  let suspected: string | undefined;

  const read = async (reason: string | null): Promise<Diagnosis | undefined> => {
    try {
      return await diagnoseRunning(check, { pid, reason }, os);
    } catch (error) {
      log(`${component}: ${formatError(toKhwError(error))}`);
      return undefined;
    }
  };

  return {
    look: async (reason, { mainPid }) => {
      const now = clock.monotonic();
      if (mainPid !== pid) {
        due = now + (standing === undefined ? startMillis : ailingMillis);
        [pid, unwell, suspected] = [mainPid, false, undefined];
      } else if (reason !== null && !unwell) due = Math.min(due, now + unwellMillis);
      unwell = reason !== null;
      if (!knowsAny || (!quietly && !unwell)) return (standing = undefined);
      if (now < due) return standing;
      const found = await read(reason);
      const isNew = standing === undefined && found !== undefined && found.cause !== suspected;
      suspected = found?.cause;
      if (!unwell && isNew) {
        due = now + confirmMillis;
        return standing;
      }
      standing = found;
      due = now + (unwell || standing !== undefined ? ailingMillis : wellMillis);
      return standing;
    },
  };
}
