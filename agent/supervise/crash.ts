import type { UnitStatus } from "../os/systemd.ts";

/**
 * Unit results that a requested stop never causes. To stop a unit, systemd sends SIGTERM, and does not count the exit
 * after SIGTERM as a failure.
 */
const violentResults: ReadonlySet<string> = new Set(["signal", "core-dump", "oom-kill", "watchdog", "resources"]);

/**
 * Whether a unit's process exited without a request to stop, between two reads of the unit's status.
 * @param before undefined on the first read; a unit that has already failed by then counts as crashed
 * @param ordered whether the last event showed that a stop was in progress; an exit code other than 0 is then part of
 * the stop
 */
export function crashed(before: UnitStatus | undefined, now: UnitStatus, ordered: boolean): boolean {
  const waits = now.subState === "auto-restart";
  if (before === undefined) return waits || now.activeState === "failed";
  if (waits || now.restarts > 0) return endings(now) > endings(before);
  if (now.activeState === "failed") {
    const fresh = before.activeState !== "failed" && before.subState !== "auto-restart";
    return fresh && (!ordered || violentResults.has(now.result));
  }
  return now.activeState === "inactive" && before.activeState === "active" && !ordered && before.mainPid !== 0;
}

/**
 * Counts the exits since the last requested start. A unit that is waiting for its automatic restart counts as
 * restarted.
 */
function endings({ restarts, subState }: UnitStatus): number {
  return restarts + (subState === "auto-restart" ? 1 : 0);
}

/** Describes how the unit's process exited. */
export function describeEnd({ activeState, result }: UnitStatus): string {
  if (result === "start-limit-hit") return "failed too many times in a row, so systemd no longer restarts it";
  return result === "success" || result === "" ? `exited unexpectedly (${activeState})` : `failed (${result})`;
}
