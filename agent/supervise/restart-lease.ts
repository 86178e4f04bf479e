import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import type { KeptState } from "../state/desired-state.ts";
import { keepAlive } from "../etcd/keep-alive.ts";
import { createEtcdLock, type EtcdLock, type Lease } from "../etcd/lock.ts";

/** Permits one API server and one etcd member in the whole cluster to restart at a time. */
export interface RestartLease {
  /**
   * Takes the lease, and holds it until the result is disposed of. If no etcd server answers, the controllers take
   * turns by time instead, which can take minutes.
   * @param options.asked a person asked for the restart, and must check for other restarts; without etcd the call
   * returns at once
   * @param options.of the component to restart; the API server by default
   * @throws KhwError BUSY that names the controller that holds the lease; CREDENTIAL_INVALID if etcd answers but cannot
   * be verified: the agent's clock may be wrong, and with a wrong clock two API servers could restart at the same time
   */
  take(signal: AbortSignal, options?: TakeOptions): Promise<AsyncDisposable>;
}

export interface TakeOptions {
  readonly asked?: boolean;
  readonly of?: "kube-apiserver" | "etcd";
}

export interface LeaseOptions {
  readonly os: Os;
  readonly keptState: KeptState;
  readonly log?: (line: string) => void;
  readonly etcd?: EtcdLock;
}

/** Keys in the cluster's etcd, outside Kubernetes' /registry. */
const leases = {
  "kube-apiserver": { key: "/khw/restart/kube-apiserver", doing: "is restarting its API server" },
  etcd: { key: "/khw/restart/etcd", doing: "is restarting its etcd member" },
} as const;
/** When the holder dies, the key expires after this time. */
const ttlSeconds = 60;

export function createRestartLease({
  os,
  keptState,
  log = () => {},
  etcd = createEtcdLock(os.etcd),
}: LeaseOptions): RestartLease {
  const { clock, identity } = os;

  const acquire = async (
    servers: readonly string[],
    { key, doing, asked }: { readonly key: string; readonly doing: string; readonly asked: boolean },
    signal: AbortSignal,
  ): Promise<Lease | undefined> => {
    let why = "no desired state lists the etcd servers";
    let unverified: KhwError | undefined;
    for (const server of servers) {
      try {
        return await etcd.acquire(server, { key, value: identity.name, doing, ttlSeconds, signal });
      } catch (error) {
        signal.throwIfAborted();
        const failure = toKhwError(error);
        if (failure.code === "BUSY") throw failure;
        if (failure.code === "CREDENTIAL_INVALID") unverified = failure;
        why = failure.message;
      }
    }
    log(`no etcd server grants the lease ${key}: ${why}`);
    if (unverified !== undefined && !asked) throw unverified;
    return undefined;
  };

  return {
    take: async (signal, { asked = false, of = "kube-apiserver" } = {}) => {
      const cluster = keptState.current()?.desired.cluster;
      // A member that restarts cannot store the lease for its own restart.
      const own = of === "etcd" ? clientUrl(identity) : "";
      const servers = (cluster?.etcdServers ?? []).filter((server) => server !== own);
      const held = await acquire(servers, { ...leases[of], asked }, signal);
      if (held !== undefined) return keepAlive(held, ttlSeconds);
      if (!asked && cluster !== undefined) {
        const index = cluster.controllers.findIndex(({ name }) => name === identity.name);
        await clock.delay(turnAfter(clock.now(), { index, count: cluster.controllers.length }), signal);
      }
      return { [Symbol.asyncDispose]: async () => {} };
    },
  };
}

/** Longer than an API server takes to restart. */
const turnMillis = 60_000;
/** A turn that begins later than this would overlap the next turn. */
const beginMillis = 15_000;

/**
 * Returns the time until this controller's turn. The controllers take turns of one clock minute each. A controller
 * starts in the first quarter of its minute, or waits for its next turn. If the clocks agree, no two restarts overlap.
 */
export function turnAfter(now: number, { index, count }: { readonly index: number; readonly count: number }): number {
  if (count <= 1) return 0;
  const round = turnMillis * count;
  const into = (((now - Math.max(index, 0) * turnMillis) % round) + round) % round;
  return into < beginMillis ? 0 : round - into;
}
