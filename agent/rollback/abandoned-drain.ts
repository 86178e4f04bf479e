import { isLeft } from "../../proto/drain.ts";
import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Operation } from "../../proto/gen/khw/agent/v1/agent.ts";
import { isRolledBack } from "../../proto/rollback.ts";
import { doubtOwnView } from "../health/own-view.ts";
import { healthCheckOf, probeHealth } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import type { Maintenance } from "../state/maintenance.ts";

/**
 * How long the agent waits before it first tries to undrain the node. A client that is still connected undrains the
 * node within this time.
 */
const clientMillis = 60_000;
const intervalMillis = 5_000;

export interface AbandonedDrainOptions {
  readonly os: Os;
  readonly maintenance: Pick<Maintenance, "current" | "undrainLeft">;
  /** Returns the running operation, or the last Apply if no operation is running. */
  readonly operation: () => Operation | undefined;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Undrains the node after a rollback, in case the client that drained it for a rolling update has disconnected.
 * Otherwise, the load balancer would never send traffic to the node again. First waits until the API server is healthy.
 * The wait ends if another operation or drain begins, because a client is then working on the node. Never rejects.
 */
export async function undrainAbandoned(options: AbandonedDrainOptions): Promise<void> {
  const { os, maintenance, operation, log, signal } = options;
  const [left, last] = [maintenance.current(), operation()];
  const same = (): boolean => maintenance.current() === left && startOf(operation()) === startOf(last);
  const mayUndrain = async (ending: AbortSignal): Promise<boolean> =>
    same() &&
    (await doubtOwnView(os, ending)) === null &&
    (await probeHealth(healthCheckOf("kube-apiserver"), os, ending)) === null;
  if (!isLeft(left) || !isRolledBack(last)) return;
  try {
    await os.clock.delay(clientMillis, signal);
    while (same()) {
      await maintenance.undrainLeft(left, { holder: "the agent, after its rollback", mayUndrain });
      if (same()) await os.clock.delay(intervalMillis, signal);
    }
  } catch (error) {
    if (!signal.aborted) log(`the node stays drained: ${formatError(toKhwError(error))}`);
  }
}

function startOf(operation: Operation | undefined): string {
  return `${operation?.id} ${operation?.startedUnixMillis}`;
}
