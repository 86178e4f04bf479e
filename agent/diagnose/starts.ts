/** A unit's starts in the journal: the lines of each start, the oldest start first. */
type Starts = readonly (readonly string[])[];

/**
 * Returns the starts after the last one that was stopped while it ran: by a person, by the agent, or by a shutdown. The
 * stopped start and the starts before it do not explain the newest start, for example after a crash of another release.
 * The newest start is always included.
 */
export function sinceDeliberateStop(starts: Starts): Starts {
  const stopped = starts.slice(0, -1).findLastIndex((start) => start.some((line) => /^Stopping .*\.\.\.$/.test(line)));
  return starts.slice(stopped + 1);
}

/** Whether systemd writes this line at each start or stop, also if nothing failed. */
export function isRoutine(line: string): boolean {
  return routine.test(line);
}

const routine = /^(?:Start(?:ed|ing)|Stopp(?:ed|ing)) |: (?:Scheduled restart job|Deactivated successfully|Consumed )/;
