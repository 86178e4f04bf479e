/** One operation at a time, in the order in which they were asked for; what one ends in is its own caller's matter. */
export function inTurn(): <Result>(operation: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (operation) => {
    const run = last.then(operation);
    last = run.catch(() => {});
    return run;
  };
}
