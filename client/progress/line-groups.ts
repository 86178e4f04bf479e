/** A line about a track. Several tracks can have the same or nearly the same line. */
export interface TrackLine {
  readonly track: string;
  /**
   * The step that the line is about. Before a line is printed, the track's earlier lines up to the last line about the
   * same subject are printed.
   */
  readonly subject: string;
  /** Lines that have the same key on several tracks are merged into one line. */
  readonly key: string;
}

export interface LineGroupsOptions<Line> {
  /** Prints the lines of a group as one line. The lines are in the order in which their tracks were started. */
  readonly print: (lines: readonly Line[]) => void;
  /**
   * Calls back after the maximum time that a line may wait for the same line from other tracks. Returns a function that
   * cancels the call.
   */
  readonly schedule: (callback: () => void) => () => void;
}

/** Joins identical lines of tracks that work in parallel. */
export interface LineGroups<Line> {
  /** Prints the held lines, then groups the lines of these tracks. Lines of other tracks are printed immediately. */
  begin(tracks: readonly string[]): void;
  add(line: Line): void;
  /** Prints the track's held lines, then its last line. Afterwards, no line waits for this track. */
  end(track: string, last?: Line): void;
  /** Prints all held lines. */
  flush(): void;
}

interface Group<Line> {
  readonly lines: Line[];
  readonly cancel: () => void;
}

export function createLineGroups<Line extends TrackLine>({
  print,
  schedule,
}: LineGroupsOptions<Line>): LineGroups<Line> {
  const groups = new Map<string, Group<Line>>();
  const working = new Set<string>();
  /** The tracks, in the order in which they were started. */
  let order: readonly string[] = [];

  const release = (key: string): void => {
    const group = groups.get(key);
    if (group === undefined) return;
    groups.delete(key);
    group.cancel();
    print(group.lines.toSorted((one, other) => order.indexOf(one.track) - order.indexOf(other.track)));
  };
  const releaseIf = (matches: (line: Line) => boolean): void => {
    for (const [key, { lines }] of groups) if (lines.some(matches)) release(key);
  };
  const isComplete = (lines: readonly Line[]): boolean =>
    [...working].every((track) => lines.some((line) => line.track === track));
  const flush = (): void => releaseIf(() => true);
  const add = (line: Line): void => {
    if (!working.has(line.track)) return print([line]);
    const group = groups.get(line.key) ?? { lines: [], cancel: schedule(() => release(line.key)) };
    groups.set(line.key, group);
    group.lines.push(line);
    if (isComplete(group.lines)) release(line.key);
  };

  return {
    begin: (tracks) => {
      flush();
      working.clear();
      order = tracks;
      for (const track of tracks) working.add(track);
    },
    add: (line) => {
      const held = [...groups].filter(([, { lines }]) => lines.some(({ track }) => track === line.track));
      const last = held.findLastIndex(([, { lines }]) => lines.some(({ subject }) => subject === line.subject));
      for (const [key] of held.slice(0, last + 1)) release(key);
      add(line);
    },
    end: (ended, last) => {
      releaseIf(({ track }) => track === ended);
      if (last !== undefined) add(last);
      working.delete(ended);
      for (const [key, { lines }] of groups) if (isComplete(lines)) release(key);
    },
    flush,
  };
}
