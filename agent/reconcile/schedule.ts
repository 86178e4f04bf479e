/** Schedules the next run of a task. */
export interface Schedule {
  /** Makes the next run start within this time. Changes nothing if an earlier run is already scheduled. */
  within(millis: number): void;
}

export interface ScheduleOptions {
  /** The minimum time between the starts of two runs, however often a run is requested. */
  readonly closestMillis: number;
  readonly signal: AbortSignal;
}

/** @param run must not reject */
export function createSchedule(run: () => Promise<void>, { closestMillis, signal }: ScheduleOptions): Schedule {
  let timer: NodeJS.Timeout | undefined;
  let next = Infinity;
  let lastBegin = -Infinity;

  const begin = (): void => {
    next = Infinity;
    lastBegin = performance.now();
    void run();
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return {
    within: (millis) => {
      const now = performance.now();
      const time = Math.max(now + millis, lastBegin + closestMillis);
      if (time >= next || signal.aborted) return;
      clearTimeout(timer);
      next = time;
      // Unreferences the timer, so that a pending run does not keep the process alive.
      timer = setTimeout(begin, time - now).unref();
    },
  };
}
