import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { DataPlaneState } from "./control.ts";
import { probe, type Health } from "./prober.ts";
import { linkTo } from "./references.ts";
import { hashOf, relay } from "./relay.ts";
import type { Fields } from "./resources.ts";
import type { Store } from "./store.ts";
import { addressesOf, backendsOf, frontendsOf, obstacleTo, type Backend, type Frontend } from "./topology.ts";

/** The data plane's options. */
export interface DataPlaneOptions {
  readonly store: Store;
  /** The number by which the interval between probes is divided. */
  readonly probeScale: number;
}

interface Probing {
  readonly backend: Backend;
  readonly stop: AbortController;
  health: Health;
}

interface Listening {
  readonly frontend: Frontend;
  readonly server: Server;
  error?: string;
}

/**
 * The load balancer itself. It listens on the addresses of the forwarding rules, probes the instances in their target
 * pools, and forwards connections. It follows changes in the store. Google's load balancer passes packets through,
 * whereas the emulated load balancer relays TCP connections. As a result, the instances see the testbed's bridge as the
 * client, and their own address as the destination. The data plane assumes that the firewall rules for client traffic
 * exist (lab 03's `kubernetes-the-hard-way-allow-external`).
 */
export class DataPlane implements AsyncDisposable {
  readonly #options: DataPlaneOptions;
  readonly #stop = new AbortController();
  readonly #probings = new Map<string, Probing>();
  readonly #listenings = new Map<string, Listening>();
  readonly #sockets = new Set<Socket>();

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    options.store.onChange(() => this.#follow(), this.#stop.signal);
    this.#follow();
  }

  /**
   * Returns the health of an instance in a pool as `getHealth` returns it, with an entry for each address that forwards
   * to the pool.
   */
  healthOf(pool: string, instance: string): readonly Fields[] {
    const probing = [...this.#probings.values()].find(({ backend }) => isSame(backend, { pool, instance }));
    if (!probing) return [];
    const { state } = probing.health;
    // Google's documentation: "For target pool based Network Load Balancing, [ipAddress] indicates the forwarding
    // rule's IP address".
    return addressesOf(this.#options.store, pool).map((ipAddress) => ({
      ipAddress,
      instance: linkTo(instance),
      healthState: state,
    }));
  }

  state(): DataPlaneState {
    const listeners = [...this.#listenings.values()].map(({ frontend: { address, port }, error }) => ({
      address,
      port,
      ...(error !== undefined && { error }),
    }));
    const health = [...this.#probings.values()].map(({ backend: { pool, instance }, health }) => ({
      pool,
      instance,
      ...health,
    }));
    return { listeners, health };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const { stop } of this.#probings.values()) stop.abort();
    const servers = [...this.#listenings.values()].map(({ server }) => server).filter(({ listening }) => listening);
    const closed = servers.map((server) => once(server, "close"));
    for (const server of servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  #follow(): void {
    const { store } = this.#options;
    const before = [...this.#probings.values()];
    match(this.#probings, backendsOf(store), {
      start: (backend) => this.#probe(backend, before.find((probing) => isSame(probing.backend, backend))?.health),
      stop: ({ stop }) => stop.abort(),
    });
    match(this.#listenings, frontendsOf(store), {
      start: (frontend) => this.#listen(frontend),
      stop: ({ server }) => server.close(),
    });
  }

  #probe(backend: Backend, before: Health = { state: "UNHEALTHY", reason: "not probed yet" }): Probing {
    const { store, probeScale: scale } = this.#options;
    const { address = "", check, instance } = backend;
    const stop = new AbortController();
    if (!check) return { backend, stop, health: { state: "HEALTHY" } };
    const probing: Probing = { backend, stop, health: before };
    const obstacle = () => obstacleTo(store, instance, check.port);
    const run = async () => {
      const results = probe({ address, check, scale, initial: before.state, obstacle, signal: stop.signal });
      for await (const health of results) probing.health = health;
    };
    void run();
    return probing;
  }

  #listen(frontend: Frontend): Listening {
    const server = createServer({ allowHalfOpen: true }, (client) => this.#forward(client, frontend));
    const listening: Listening = { frontend, server };
    server.on("error", (error) => (listening.error = error.message));
    server.listen(frontend.port, frontend.address);
    return listening;
  }

  #forward(client: Socket, { port, pool }: Frontend): void {
    const addresses = this.#candidates(pool);
    const affinity = this.#options.store.find("targetPools", pool)?.sessionAffinity ?? "NONE";
    const address = addresses[hashOf(client, affinity) % addresses.length];
    this.#own(client);
    if (address === undefined) client.resetAndDestroy();
    else this.#own(relay(client, { host: address, port }));
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /**
   * Returns the addresses to which a new connection may go. These are the healthy instances, or "all instances when no
   * instance is healthy" (Google's reference, TargetPool.failoverRatio).
   */
  #candidates(pool: string): readonly string[] {
    const ofPool = [...this.#probings.values()].filter(({ backend }) => backend.pool === pool);
    const healthy = ofPool.filter(({ health }) => health.state === "HEALTHY");
    return (healthy.length > 0 ? healthy : ofPool).flatMap(({ backend: { address } }) => address ?? []).toSorted();
  }
}

function isSame(one: Backend, other: Backend): boolean {
  return one.pool === other.pool && one.instance === other.instance;
}

/**
 * Makes the current entries match the required entries. Stops entries that have changed or are no longer required, then
 * starts the missing entries.
 */
function match<W, H>(
  held: Map<string, H>,
  wanted: readonly W[],
  { start, stop }: { readonly start: (one: W) => H; readonly stop: (one: H) => void },
): void {
  const byKey = new Map(wanted.map((one) => [JSON.stringify(one), one]));
  for (const [key, one] of held) {
    if (byKey.has(key)) continue;
    stop(one);
    held.delete(key);
  }
  for (const [key, one] of byKey) if (!held.has(key)) held.set(key, start(one));
}
