/** Lets a process clean up before a signal terminates it. */

/**
 * Runs the task once when this process receives SIGINT or SIGTERM, unless `release` was called before. The process then
 * ends.
 */
export function onSignal(task: () => Promise<void>): { readonly release: () => void } {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const release = (): void => signals.forEach((signal) => process.off(signal, run));
  const run = (signal: NodeJS.Signals): void => {
    release();
    void task().finally(() => process.kill(process.pid, signal));
  };
  signals.forEach((signal) => process.on(signal, run));
  return { release };
}
