/** Waits for all tasks, even after one failed, so that nothing goes on behind a failure; then throws what failed. */
export async function together(...tasks: readonly Promise<unknown>[]): Promise<void> {
  const failures = (await Promise.allSettled(tasks)).flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map((failure) => String(failure)).join("\n"));
}
