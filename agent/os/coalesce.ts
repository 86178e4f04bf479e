/**
 * Returns a function that never runs the operation more than once at the same time. All calls made during a run share
 * the next run. They cannot share the current run, because it may have started before the change that the caller wants
 * it to see.
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
