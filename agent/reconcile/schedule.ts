/** Schedules the next run. */
export interface Schedule {
  /** Makes the next run start within this time. If an earlier run is already planned, the plan does not change. */
  within(millis: number): void;
}

export interface ScheduleOptions {
  /** The minimum time between runs, however often they are requested. */
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
      // Unreferenced, so that a pending run does not keep the process alive.
      timer = setTimeout(begin, time - now).unref();
    },
  };
}
