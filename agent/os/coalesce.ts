/**
 * An operation of which one run at a time is enough: a call made while one runs waits for the next run, which all such
 * calls share, since the one that runs may have begun before what the caller wants it to see.
 */
export function coalesce(operation: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
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
