import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import type { KeptState } from "../state/desired-state.ts";
import { keepAlive } from "../etcd/keep-alive.ts";
import { createEtcdLock, type EtcdLock, type Lease } from "../etcd/lock.ts";

/**
 * Ensures that at most one API server and at most one etcd member in the cluster are restarting at any time.
 */
export interface RestartLease {
  /**
   * Takes the lease, and holds it until the returned object is disposed of. If no etcd server answers, the controllers
   * use their clocks to take turns. The call can then wait for minutes.
   * @param options.asked whether a person asked for the restart; in that case, the call returns at once if no etcd
   * server answers, and the person must prevent simultaneous restarts
   * @param options.of the component to restart; the API server by default
   * @throws KhwError BUSY with the name of the controller that holds the lease; CREDENTIAL_INVALID if etcd answers but
   * cannot be verified. The agent's clock may then be wrong, and two API servers could restart at the same time.
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

/** The keys of the leases in the cluster's etcd, outside Kubernetes' own /registry. */
const leases = {
  "kube-apiserver": { key: "/khw/restart/kube-apiserver", doing: "is restarting its API server" },
  etcd: { key: "/khw/restart/etcd", doing: "is restarting its etcd member" },
} as const;
/** If the holder of a lease dies, the lease's key expires after this time. */
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
    let why = "this node has no desired state that lists the etcd servers";
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
    log(`no etcd server granted the lease ${key}: ${why}`);
    if (unverified !== undefined && !asked) throw unverified;
    return undefined;
  };

  return {
    take: async (signal, { asked = false, of = "kube-apiserver" } = {}) => {
      const cluster = keptState.current()?.desired.cluster;
      // A restarting etcd member cannot store the lease for its own restart, so the lease is requested from the other
      // members.
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

/** The length of a turn, which is longer than an API server takes to restart. */
const turnMillis = 60_000;
/** A restart that begins after this point in a turn could overlap the next turn. */
const beginMillis = 15_000;

/**
 * Returns the time until this controller's turn. Each turn lasts one minute. A controller begins a restart within the
 * first quarter of its turn, or waits for its next turn. No two restarts overlap if the controllers' clocks agree.
 */
export function turnAfter(now: number, { index, count }: { readonly index: number; readonly count: number }): number {
  if (count <= 1) return 0;
  const round = turnMillis * count;
  const into = (((now - Math.max(index, 0) * turnMillis) % round) + round) % round;
  return into < beginMillis ? 0 : round - into;
}
