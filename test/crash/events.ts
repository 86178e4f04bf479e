/** The events of a bootstrap, as `bootstrap --output json` prints them. */

/** An event of an undisturbed run. */
export interface TimedEvent {
  readonly name: string;
  /** Milliseconds since the client's start. */
  readonly at: number;
}

/**
 * Returns the name of the event in a printed line, or undefined for an event that is not counted. The name is the same
 * in each run. Progress within a step is not counted, because the number of progress events depends on the host's
 * speed.
 */
export function eventName(line: string): string | undefined {
  const { kind, node, event, step, text, title, track }: Readonly<Record<string, unknown>> = JSON.parse(line);
  if (event === "stepProgress") return undefined;
  const words = [kind, node, event, step, title, track, text].filter((word) => typeof word === "string" && word !== "");
  return words.join(" ").slice(0, longest);
}

const longest = 90;

/**
 * The event that marks the start of the work on the nodes. A run that finds all certificates prints this event first.
 */
export const workBegins = /^begin\b/;

/** The event after which etcd is running and can be killed. */
export const etcdRuns = /stepFinished service\/etcd$/;

/** Returns the events from the start of the work on the nodes, as a run with existing certificates prints them. */
export function fromTheWorkOn(events: readonly TimedEvent[]): TimedEvent[] {
  const first = events.findIndex(({ name }) => workBegins.test(name));
  const start = events[first - 1]?.at ?? 0;
  return events.slice(Math.max(first, 0)).map(({ name, at }) => ({ name, at: at - start }));
}
