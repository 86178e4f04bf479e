/**
 * An operation of which one run at a time is enough: a call made while one runs waits for the next run, which all such
 * calls share, since the one that runs may have begun before what the caller wants it to see.
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
