/** The events of a bootstrap, as `bootstrap --output json` prints them. */

/** An event of an undisturbed run. */
export interface TimedEvent {
  readonly name: string;
  /** Milliseconds since the client was started. */
  readonly at: number;
}

/**
 * The name of a printed line's event, the same in each run; undefined for one that is not counted. Progress within a step is not:
 * how often it is printed depends on the machine's speed.
 */
export function eventName(line: string): string | undefined {
  const { kind, event, step, text, title, track }: Readonly<Record<string, unknown>> = JSON.parse(line);
  if (event === "stepProgress") return undefined;
  const words = [kind, event, step, title, track, text].filter((word) => typeof word === "string" && word !== "");
  return words.join(" ").slice(0, longest);
}

const longest = 90;

/** The event with which the nodes' work begins: a run that finds all certificates prints it first. */
export const workBegins = /^begin\b/;

/** The events of a run that makes certificates, as one that finds them prints them. */
export function fromTheWorkOn(events: readonly TimedEvent[]): TimedEvent[] {
  const first = events.findIndex(({ name }) => workBegins.test(name));
  const start = events[first - 1]?.at ?? 0;
  return events.slice(Math.max(first, 0)).map(({ name, at }) => ({ name, at: at - start }));
}
