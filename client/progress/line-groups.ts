/** A line of output about a track. The lines about several tracks can be equal or almost equal. */
export interface TrackLine {
  readonly track: string;
  /**
   * The step that the line is about. Before a line is added, the track's held lines are printed, up to the last line
   * about the same step.
   */
  readonly subject: string;
  /** Lines about different tracks are merged into one line if they have the same key. */
  readonly key: string;
}

export interface LineGroupsOptions<Line> {
  /** Prints the lines of a group as one line. The lines have the order in which their tracks were started. */
  readonly print: (lines: readonly Line[]) => void;
  /**
   * Calls back after the maximum time that a line may wait for the same line from other tracks. Returns a function that
   * cancels the call.
   */
  readonly schedule: (callback: () => void) => () => void;
}

/** Merges lines with the same key about tracks that work in parallel. */
export interface LineGroups<Line> {
  /**
   * Prints all held lines. From then on, groups the lines about these tracks, and prints lines about other tracks
   * immediately.
   */
  begin(tracks: readonly string[]): void;
  add(line: Line): void;
  /** Prints the track's held lines, then adds its last line. From then on, no line waits for this track. */
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
