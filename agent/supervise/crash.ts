import type { UnitStatus } from "../os/os.ts";

/** Ends that no order leads to: who is asked to stop is sent SIGTERM, and that is no failure to systemd. */
const violentResults: ReadonlySet<string> = new Set(["signal", "core-dump", "oom-kill", "watchdog", "resources"]);

/**
 * Whether a unit ended by itself between two looks at it.
 * @param before Undefined at the first look, at which one that lies there failed counts.
 * @param ordered It was being stopped when last heard of: what ends then with an exit code ended by order.
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

/** How often it has ended since its last start by order; a wait for the next start counts as the start. */
function endings({ restarts, subState }: UnitStatus): number {
  return restarts + (subState === "auto-restart" ? 1 : 0);
}

/** How it ended, in words. */
export function describeEnd({ activeState, result }: UnitStatus): string {
  if (result === "start-limit-hit") return "failed too often in a row: systemd gave up on it";
  return result === "success" || result === "" ? `ended by itself (${activeState})` : `failed (${result})`;
}
