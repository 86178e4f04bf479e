/**
 * Waits for all tasks, even after one has failed, so that no task continues in the background. Then throws the
 * failures, if any.
 */
export async function together(...tasks: readonly Promise<unknown>[]): Promise<void> {
  const failures = (await Promise.allSettled(tasks)).flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map((failure) => String(failure)).join("\n"));
}
