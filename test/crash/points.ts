/** Chooses the points at which a bootstrap is interrupted. */
import { etcdRuns, type TimedEvent, workBegins } from "./events.ts";

export const victims = ["agent", "machine", "client", "etcd"] as const;

/** The target of a kill. */
export type Victim = (typeof victims)[number];

/** The start state of a run. `bare`: only the package is on the machine. `enrolled`: all certificates exist. */
export type Start = "bare" | "enrolled";

/** A crash: the victim and the time. */
export interface Point {
  /** The number, from 1. For the same list of events, a number and a seed always select the same point. */
  readonly number: number;
  readonly start: Start;
  readonly victim: Victim;
  /** The number of events to wait for; 0: no events. */
  readonly after: number;
  /** The name of the last awaited event in the undisturbed run. */
  readonly event: string;
  /** Milliseconds from that event to the kill. */
  readonly delay: number;
}

export interface PointsOptions {
  readonly count: number;
  readonly seed: number;
  /** The events of the undisturbed runs. */
  readonly events: Readonly<Record<Start, readonly TimedEvent[]>>;
}

/**
 * The order of the victims. etcd exists only during a part of the run, and killing the client stops nothing, so these
 * two have fewer turns.
 */
const turns: readonly Victim[] = ["agent", "machine", "agent", "client", "machine", "etcd", "agent", "machine"];
/** Every seventh point starts on a bare machine. */
const bareEvery = 7;

/**
 * Returns the points. Whatever their number, each victim's points are spread evenly over the run. Half of them are
 * spread by the number of events, the other half by time, because a few events (downloads, apt) take most of the time.
 */
export function choosePoints({ count, seed, events }: PointsOptions): Point[] {
  const soFar = new Map<string, number>();
  return Array.from({ length: count }, (_, index) => {
    const number = index + 1;
    const start: Start = number % bareEvery === 0 ? "bare" : "enrolled";
    const turn = turns[index % turns.length] ?? "agent";
    // Before the nodes' work, no etcd exists.
    const victim = start === "bare" && turn === "etcd" ? "client" : turn;
    const stratum = `${start} ${victim}`;
    const nth = soFar.get(stratum) ?? 0;
    soFar.set(stratum, nth + 1);
    const by = nth % 2 === 0 ? "event" : "time";
    // Offsets the victims against each other, so that even a few points are spread over the whole run.
    const apart = victims.indexOf(victim) / victims.length + (by === "time" ? 1 / 2 : 0);
    const position = fraction((seed + Math.floor(nth / 2)) * goldenRatio + apart);
    const within = range(events[start], { start, victim });
    const jitter = fraction((seed + number) * Math.SQRT2);
    return { number, start, victim, ...place(within, { by, position, jitter }) };
  });
}

/**
 * The golden ratio: the fractional parts of its multiples are spread evenly, whatever the number of multiples (Knuth,
 * volume 3, section 6.4).
 */
const goldenRatio = (Math.sqrt(5) - 1) / 2;

function fraction(value: number): number {
  return value - Math.floor(value);
}

interface Range {
  readonly events: readonly TimedEvent[];
  /** The number of events before the first and the last possible point. */
  readonly first: number;
  readonly last: number;
}

function range(events: readonly TimedEvent[], { start, victim }: Pick<Point, "start" | "victim">): Range {
  const find = (fits: (name: string) => boolean): number => {
    const index = events.findIndex(({ name }) => fits(name));
    if (index < 0) throw new Error("the undisturbed run has no such event");
    return index;
  };
  const first = victim === "etcd" ? find((name) => etcdRuns.test(name)) + 1 : 0;
  // After the last event, no work is left to interrupt. A bare start differs from an enrolled start only before the
  // nodes' work.
  const last = start === "bare" ? find((name) => workBegins.test(name)) : events.length - 1;
  return { events, first, last };
}

function place(
  { events, first, last }: Range,
  { by, position, jitter }: { readonly by: "event" | "time"; readonly position: number; readonly jitter: number },
): Pick<Point, "after" | "event" | "delay"> {
  const at = (after: number): number => (after === 0 ? 0 : (events[after - 1]?.at ?? 0));
  const name = (after: number): string => (after === 0 ? "the start" : (events[after - 1]?.name ?? ""));
  if (by === "event") {
    const after = first + Math.floor(position * (last - first + 1));
    return { after, event: name(after), delay: Math.round(jitter * (at(after + 1) - at(after))) };
  }
  const time = at(first) + position * (at(last + 1) - at(first));
  let after = first;
  while (after < last && at(after + 1) <= time) after += 1;
  return { after, event: name(after), delay: Math.round(time - at(after)) };
}
