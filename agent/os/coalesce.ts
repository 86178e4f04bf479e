/**
 * Returns a function that runs the operation, but never twice at the same time. All calls made during a run share the
 * next run. These calls cannot share the current run. It may have started too early to see a change that the caller has
 * made.
 */
export function coalesce<Result>(operation: () => Promise<Result>): () => Promise<Result> {
  let running: Promise<Result> | undefined;
  let next: Promise<Result> | undefined;
  const start = (): Promise<Result> => {
    next = undefined;
    const run = operation().finally(() => {
      if (next === undefined) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (running === undefined) return start();
    next ??= running.then(start, start);
    return next;
  };
}
