/**
 * Returns a function that runs one operation at a time, in the order of the calls. A failure affects only the caller of
 * the failed operation.
 */
export function inTurn(): <Result>(operation: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (operation) => {
    const run = last.then(operation);
    last = run.catch(() => {});
    return run;
  };
}
