/** When the next run is. */
export interface Schedule {
  /** The next run is not later than that; an earlier one stays as it is. */
  within(millis: number): void;
}

export interface ScheduleOptions {
  /** However often something asks for it, runs do not begin closer to each other. */
  readonly closestMillis: number;
  readonly signal: AbortSignal;
}

/** @param run Must not reject. */
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
      // Unreferenced: what is to be done by and by keeps no process from its end.
      timer = setTimeout(begin, time - now).unref();
    },
  };
}
