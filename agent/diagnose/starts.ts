/** The journal lines of a unit, one list for each start, oldest start first. */
type Starts = readonly (readonly string[])[];

/**
 * Returns the starts since the unit was last stopped on purpose: by a person, by the agent, or by a shutdown. Earlier
 * starts do not explain the newest one; for example, they may be from another release that crashed. Always includes the
 * newest start.
 */
export function sinceDeliberateStop(starts: Starts): Starts {
  const stopped = starts.slice(0, -1).findLastIndex((start) => start.some((line) => /^Stopping .*\.\.\.$/.test(line)));
  return starts.slice(stopped + 1);
}

/** Whether systemd writes this line at every start or stop, even if nothing failed. */
export function isRoutine(line: string): boolean {
  return routine.test(line);
}

const routine = /^(?:Start(?:ed|ing)|Stopp(?:ed|ing)) |: (?:Scheduled restart job|Deactivated successfully|Consumed )/;
