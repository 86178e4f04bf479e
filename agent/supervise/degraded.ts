import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Diagnosis } from "../../proto/gen/khw/agent/v1/agent.ts";
import { ailments, quietlyAiling } from "../diagnose/degraded.ts";
import { diagnoseRunning } from "../diagnose/running.ts";
import type { HealthCheck } from "../health/health.ts";
import type { Os, UnitStatus } from "../os/os.ts";

/** What keeps a component that runs from its work. It is told from the journal, which is not read on every beat. */
export interface Ailing {
  /** @param reason What its health check says; null when that is well. */
  look(reason: string | null, unit: UnitStatus): Promise<Diagnosis | undefined>;
}

export interface AilingOptions {
  readonly check: HealthCheck;
  readonly os: Os;
  readonly log: (line: string) => void;
}

/** What has just been started may still wait for others that were. */
const startMillis = 15_000;
/** What passes within this time needs no cause. */
const unwellMillis = 4_000;
const ailingMillis = 5_000;
/** A credential that is refused from now on is seen by what begins anew; by what waits in the second row, so. */
const wellMillis = 600_000;

export function createAiling({ check, os, log }: AilingOptions): Ailing {
  const { component } = check;
  const { clock } = os;
  const quietly = quietlyAiling.has(component);
  const knowsAny = ailments.some(({ components }) => components?.includes(component));
  let pid = 0;
  let due = 0;
  let unwell = false;
  let standing: Diagnosis | undefined;

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
        [pid, unwell] = [mainPid, false];
      } else if (reason !== null && !unwell) due = Math.min(due, now + unwellMillis);
      unwell = reason !== null;
      if (!knowsAny || (!quietly && !unwell)) return (standing = undefined);
      if (now < due) return standing;
      standing = await read(reason);
      due = now + (unwell || standing !== undefined ? ailingMillis : wellMillis);
      return standing;
    },
  };
}
