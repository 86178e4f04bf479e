/** Chooses the points at which a command is interrupted. */
import { etcdRuns, type TimedEvent, workBegins } from "./events.ts";

export const victims = ["agent", "machine", "client", "etcd"] as const;

/** The target of a kill. */
export type Victim = (typeof victims)[number];

/**
 * The starting state of a run. A bootstrap starts with a machine that has only the package (`bare`), or that also has
 * all certificates (`enrolled`). An upgrade starts with the old release (`old`), and a rollback with the new release
 * (`new`). Every other command starts with prepared machines (`prepared`).
 */
export type Start = BootstrapStart | UpgradeStart | "prepared";
export type BootstrapStart = "bare" | "enrolled";
export type UpgradeStart = "old" | "new";

/** The victim and the time of a crash. */
export interface Point {
  /**
   * The point's number, starting at 1. For the same list of events, a number and a seed always select the same point.
   */
  readonly number: number;
  readonly start: Start;
  readonly victim: Victim;
  /** The machine that is switched off, or whose agent or etcd is killed. */
  readonly node: string;
  /** The number of events to wait for before the kill; can be 0. */
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
  readonly events: Readonly<Record<BootstrapStart, readonly TimedEvent[]>>;
}

/**
 * The order of the victims. etcd exists only during part of the run, and killing the client does not stop the agents.
 * Therefore, etcd and the client get fewer turns.
 */
const turns: readonly Victim[] = ["agent", "machine", "agent", "client", "machine", "etcd", "agent", "machine"];
/** Every seventh point starts on a bare machine. */
const bareEvery = 7;

/**
 * Returns the points of a bootstrap. Any number of points with the same victim is spread evenly over the run. Half of
 * the points are spread by the number of events, and half by time, because a few events (downloads, apt) take most of
 * the time.
 */
export function choosePoints({ count, seed, events }: PointsOptions): Point[] {
  const soFar = new Map<string, number>();
  return Array.from({ length: count }, (_, index) => {
    const number = index + 1;
    const start: BootstrapStart = number % bareEvery === 0 ? "bare" : "enrolled";
    const turn = turns[index % turns.length] ?? "agent";
    // etcd does not exist until the work on the nodes starts.
    const victim = start === "bare" && turn === "etcd" ? "client" : turn;
    const stratum = `${start} ${victim}`;
    const nth = soFar.get(stratum) ?? 0;
    soFar.set(stratum, nth + 1);
    const within = range(events[start], { start, victim });
    return { number, start, victim, node: "controller-0", ...place(within, spread({ number, victim, nth, seed })) };
  });
}

export interface RunningPointsOptions<S extends Start> {
  readonly count: number;
  readonly seed: number;
  /** The events of the undisturbed runs. */
  readonly events: Readonly<Record<S, readonly TimedEvent[]>>;
  /** The names of the machines that can be chosen as victims. */
  readonly nodes: readonly string[];
  /** The starting states of the points, repeated as many times as necessary. */
  readonly starts: readonly S[];
}

const runningTurns: readonly Victim[] = ["agent", "machine", "client"];

/**
 * Returns the points of a command that changes a running cluster, spread like those of a bootstrap. Two of three points
 * hit the node that the command changes at that moment.
 */
export function chooseRunningPoints<S extends Start>({
  count,
  seed,
  events,
  nodes,
  starts,
}: RunningPointsOptions<S>): Point[] {
  const soFar = new Map<string, number>();
  return Array.from({ length: count }, (_, index) => {
    const number = index + 1;
    const start = starts[index % starts.length];
    if (start === undefined) throw new Error("no start");
    const ofStart = soFar.get(start) ?? 0;
    soFar.set(start, ofStart + 1);
    // The points of the rollback start with a different victim, so that the first four points include all victims.
    const turn = ofStart + (start === "new" ? runningTurns.length - 1 : 0);
    const victim = runningTurns[turn % runningTurns.length] ?? "agent";
    const nth = Math.floor(ofStart / runningTurns.length);
    const within = { events: events[start], first: 0, last: lastPoint(events[start]) };
    const at = place(within, spread({ number, victim, nth, seed }));
    const changed = nodes.find((name) => at.event.includes(name));
    const other = nodes[number % nodes.length] ?? "";
    return { number, start, victim, node: number % 3 === 0 ? other : (changed ?? other), ...at };
  });
}

interface Spread {
  readonly by: "event" | "time";
  /** A number from 0 (the first possible moment) to 1 (the last possible moment). */
  readonly position: number;
  readonly jitter: number;
}

/** Returns the position of the nth point with this victim. */
function spread({
  number,
  victim,
  nth,
  seed,
}: Pick<Point, "number" | "victim"> & { nth: number; seed: number }): Spread {
  const by = nth % 2 === 0 ? "event" : "time";
  // Gives each victim a different offset, so that even a few points are spread over the whole run.
  const apart = victims.indexOf(victim) / victims.length + (by === "time" ? 1 / 2 : 0);
  const position = fraction((seed + Math.floor(nth / 2)) * goldenRatio + apart);
  return { by, position, jitter: fraction((seed + number) * Math.SQRT2) };
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
    if (index < 0) throw new Error("the undisturbed run lacks an event that limits the points");
    return index;
  };
  const first = victim === "etcd" ? find((name) => etcdRuns.test(name)) + 1 : 0;
  // After the last event, no work is left to interrupt. A bare start differs from an enrolled start only before the
  // work on the nodes starts.
  const last = start === "bare" ? find((name) => workBegins.test(name)) : events.length - 1;
  return { events, first, last };
}

/**
 * The last events of a command are only milliseconds apart. A kill after one of them would often come too late, so no
 * point is in the last half second.
 */
const tailMillis = 500;

/** Returns the number of events before the last possible point. */
function lastPoint(events: readonly TimedEvent[]): number {
  const end = events.at(-1)?.at ?? 0;
  return events.filter(({ at }) => at <= end - tailMillis).length;
}

/**
 * The interrupted run can be faster than the undisturbed run, for example because another test has ended meanwhile. Up
 * to this factor, the command is still running when the victim is killed.
 */
const mostSpeedup = 3;

function place(
  { events, first, last }: Range,
  { by, position, jitter }: Spread,
): Pick<Point, "after" | "event" | "delay"> {
  const at = (after: number): number => (after === 0 ? 0 : (events[after - 1]?.at ?? 0));
  const name = (after: number): string => (after === 0 ? "the start" : (events[after - 1]?.name ?? ""));
  const timely = (after: number, delay: number): number =>
    Math.round(Math.min(delay, (at(events.length) - at(after)) / mostSpeedup));
  if (by === "event") {
    const after = first + Math.floor(position * (last - first + 1));
    return { after, event: name(after), delay: timely(after, jitter * (at(after + 1) - at(after))) };
  }
  const time = at(first) + position * (at(last + 1) - at(first));
  let after = first;
  while (after < last && at(after + 1) <= time) after += 1;
  return { after, event: name(after), delay: timely(after, time - at(after)) };
}
