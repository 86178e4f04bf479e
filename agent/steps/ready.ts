import type { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import { componentFailure } from "../diagnose/failure.ts";
import { type HealthCheck, probeHealth } from "../health/health.ts";
import type { Os } from "../os/os.ts";

const deadlineMillis = 180_000;
const intervalMillis = 200;
const crashesBeforeGivingUp = 4;
/** A component that has just become healthy can become unhealthy again, for example when etcd elects a leader. */
const attempts = 3;

/**
 * Waits until the component passes its health check. If the component does not pass, the error describes the failing
 * check, followed by the diagnosed cause or the last lines of the journal.
 */
export function ready(check: HealthCheck, needs: readonly string[]): Step<Os> {
  return {
    id: `ready/${check.component}`,
    title: `${check.component} answers ${check.path}`,
    needs,
    attempts,
    check: async (os, signal) => {
      const reason = await probeHealth(check, os, signal);
      return reason === null ? null : { summary: reason };
    },
    apply: async (os, { signal, progress }) => {
      const { systemd, clock } = os;
      const { restarts: before } = await systemd.unit(check.unit);
      await waitFor({
        what: `${check.component} is not ready`,
        check: async (): Promise<Look<void>> => {
          const reason = await probeHealth(check, os, signal);
          if (reason === null) return { reached: undefined };
          const { activeState, result, restarts } = await systemd.unit(check.unit);
          if (activeState === "failed" || activeState === "inactive" || restarts - before >= crashesBeforeGivingUp) {
            throw await failure(os, check, `does not stay up (${result}): ${reason}`);
          }
          return { seen: reason };
        },
        deadlineMillis,
        intervalMillis,
        signal,
        progress,
        late: ({ seen }) => failure(os, check, `is not ready after ${deadlineMillis / 1000} s: ${seen}`),
        clock,
      });
    },
    explain: (os, { summary }) =>
      failure(
        os,
        check,
        `became ready ${attempts} times, but each time was no longer ready at the next check: ${summary}`,
      ),
  };
}

function failure(os: Os, { unit, component }: HealthCheck, what: string): Promise<KhwError> {
  return componentFailure(os, { component, unit, what, code: "NOT_READY" });
}
