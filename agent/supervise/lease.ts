import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { Os } from "../os/os.ts";
import type { Target } from "../target.ts";
import { createEtcdLock, type EtcdLock, type HeldKey } from "../etcd/lock.ts";
import { turnAfter } from "./turns.ts";

/** One restart of an API server at a time, among all controllers of the cluster. */
export interface RestartLease {
  /**
   * Takes the lease for as long as what it answers is not disposed of. Where the cluster's etcd cannot be asked, the
   * controllers take turns by time instead: it may be minutes until it resolves. @throws KhwError BUSY naming the controller
   * that holds it.
   * @param options.asked Somebody asked for the restart and sees to the order himself: without etcd it resolves at once.
   */
  take(signal: AbortSignal, options?: { readonly asked?: boolean }): Promise<AsyncDisposable>;
}

export interface LeaseOptions {
  readonly os: Os;
  readonly target: Target;
  readonly log?: (line: string) => void;
  readonly etcd?: EtcdLock;
}

/** In the cluster's etcd, beside what Kubernetes keeps below /registry. */
const leaseKey = "/khw/restart/kube-apiserver";
/** When its holder dies, the key goes after this time. */
const ttlSeconds = 60;
const keepAliveMillis = (ttlSeconds / 3) * 1000;

export function createRestartLease({
  os,
  target,
  log = () => {},
  etcd = createEtcdLock(os.files),
}: LeaseOptions): RestartLease {
  const { clock, identity } = os;

  const acquire = async (servers: readonly string[], signal: AbortSignal): Promise<HeldKey | undefined> => {
    let why = "no state is kept that names them";
    for (const server of servers) {
      try {
        return await etcd.hold(server, { key: leaseKey, value: identity.name, ttlSeconds, signal });
      } catch (error) {
        signal.throwIfAborted();
        const failure = toKhwError(error);
        if (failure.code === "BUSY") throw failure;
        why = failure.message;
      }
    }
    log(`none of etcd's servers gives the lease for a restart of the API server: ${why}`);
    return undefined;
  };

  return {
    take: async (signal, { asked = false } = {}) => {
      const cluster = target.current()?.desired.cluster;
      const held = await acquire(cluster?.etcdServers ?? [], signal);
      if (held !== undefined) return keeping(held);
      if (!asked && cluster !== undefined) {
        const index = cluster.controllers.findIndex(({ name }) => name === identity.name);
        await clock.delay(turnAfter(clock.now(), { index, count: cluster.controllers.length }), signal);
      }
      return { [Symbol.asyncDispose]: async () => {} };
    },
  };
}

/** Keeps the key until it is disposed of. A keep-alive that fails is no failure of the restart, which is under way. */
function keeping(held: HeldKey): AsyncDisposable {
  const timer = setInterval(() => void held.keepAlive().catch(() => undefined), keepAliveMillis);
  timer.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      // What cannot be given back ends by itself.
      await held.release().catch((error: unknown) => {
        if (!(error instanceof KhwError)) throw error;
      });
    },
  };
}
