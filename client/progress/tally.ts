import type { StepEvent } from "../../proto/step.ts";
import { loadBalancerTrack, type ProgressEvent } from "./progress.ts";

/** The progress of a track: the numbers for a text such as "12 of 43", and the elapsed time. */
export interface TrackProgress {
  readonly finishedSteps: number;
  /** Absent before the number of steps is known. */
  readonly totalSteps?: number;
  /** The time since the track's first event in the current phase. */
  readonly elapsedMillis: number;
}

/** Counts the finished steps of each track, and measures the elapsed time. */
export interface Tally {
  /** Must be called with every event, before the event is shown. */
  count(event: ProgressEvent): void;
  /** Returns the progress of a track; undefined before the track's first event. */
  track(name: string): TrackProgress | undefined;
  /** The time since the command started. */
  elapsedMillis(): number;
}

interface Counted {
  readonly startMillis: number;
  readonly finished: Set<string>;
  total?: number;
}

export function createTally(now: () => number = () => performance.now()): Tally {
  const start = now();
  const tracks = new Map<string, Counted>();

  const open = (name: string): Counted => {
    const counted = tracks.get(name) ?? { startMillis: now(), finished: new Set() };
    tracks.set(name, counted);
    return counted;
  };
  const countStep = (name: string, event: StepEvent): void => {
    if (event.kind === "finished") open(name).finished.add(event.step);
    else open(name);
  };

  return {
    count: (event) => {
      switch (event.kind) {
        case "steps":
          open(event.track).total = event.total;
          return;
        case "loadBalancer":
          return countStep(loadBalancerTrack, event.event);
        case "node": {
          const { kind } = event.event;
          const counted = open(event.node);
          if (kind?.$case === "operationStarted") counted.total = kind.value.steps.length;
          if (kind?.$case === "rollbackStarted") {
            counted.total = kind.value.steps.length;
            counted.finished.clear();
          }
          if (kind?.$case === "stepFinished") counted.finished.add(kind.value.step);
          return;
        }
        case "step":
          // The client's own work, for example a drain, is not a step of the agent's operation.
          open(event.track);
          return;
        case "begin":
          // If a command has several phases, the count starts from zero in each phase.
          for (const track of event.tracks) tracks.delete(track);
          return;
        case "note":
        case "end":
        case "check":
          return;
      }
    },
    track: (name) => {
      const counted = tracks.get(name);
      if (counted === undefined) return undefined;
      const { finished, total, startMillis } = counted;
      const progress = { finishedSteps: finished.size, elapsedMillis: Math.round(now() - startMillis) };
      return total === undefined ? progress : { ...progress, totalSteps: total };
    },
    elapsedMillis: () => Math.round(now() - start),
  };
}

/** Returns the track that the event is about; undefined if the event is not about a single track. */
export function trackOf(event: ProgressEvent): string | undefined {
  switch (event.kind) {
    case "node":
      return event.node;
    case "loadBalancer":
      return loadBalancerTrack;
    case "steps":
    case "step":
    case "end":
      return event.track;
    case "note":
    case "begin":
    case "check":
      return undefined;
  }
}
