/** Lets a process clean up before a signal ends it. */

/** Until released, runs the task once before SIGINT or SIGTERM ends this process. The signal ends it in any case. */
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
