import { KhwError } from "../../proto/errors.ts";
import type { Role } from "../../proto/roles.ts";

/** The limits on callers' connections. */
export interface ConnectionBounds {
  /** The maximum number of TLS handshakes in progress, in total and from one address. */
  readonly handshakes: number;
  readonly handshakesOfAddress: number;
  /** How many handshakes one address may start in an initial burst, and per second after the burst. */
  readonly burst: number;
  readonly perSecond: number;
  /**
   * Limits on connections from callers with a valid certificate. The limits apply to all callers together, to all
   * callers without the admin role together, to each address, and to each certificate.
   */
  readonly connections: number;
  readonly connectionsOfOthers: number;
  readonly connectionsOfAddress: number;
  readonly connectionsOfCaller: number;
}

export const bounds: ConnectionBounds = {
  handshakes: 128,
  handshakesOfAddress: 32,
  burst: 64,
  perSecond: 16,
  connections: 256,
  connectionsOfOthers: 128,
  connectionsOfAddress: 64,
  connectionsOfCaller: 16,
};

export interface Connected {
  readonly address: string;
  /** The certificate's serial number. */
  readonly caller: string;
  readonly role: Role | undefined;
}

interface Destroyable {
  destroy(): unknown;
}

export interface ConnectionLimits {
  /**
   * Returns whether a connection may start its handshake. If too many handshakes are in progress, the oldest one is
   * destroyed. A genuine handshake takes milliseconds, so an attacker is probably holding the oldest one open.
   */
  begin(socket: Destroyable, address: string): boolean;
  /** Records that the handshake has ended, successfully or not. */
  end(socket: Destroyable): void;
  /**
   * Counts an authorized connection until the returned function is called.
   * @throws KhwError RESOURCE_EXHAUSTED
   */
  enter(connected: Connected): () => void;
}

/** The maximum number of addresses whose rate is tracked. The least recently seen address is dropped first. */
const maxAddresses = 1_024;

export function limitConnections(
  of: ConnectionBounds = bounds,
  now: () => number = () => performance.now(),
): ConnectionLimits {
  const handshakes = new Map<Destroyable, string>();
  const rates = new Map<string, { allowance: number; seen: number }>();
  const open = new Set<Connected>();

  const mayBegin = (address: string): boolean => {
    const { allowance = of.burst, seen = now() } = rates.get(address) ?? {};
    const allowed = Math.min(of.burst, allowance + ((now() - seen) / 1_000) * of.perSecond);
    rates.delete(address);
    rates.set(address, { allowance: Math.max(0, allowed - 1), seen: now() });
    const [oldest] = rates.keys();
    if (rates.size > maxAddresses && oldest !== undefined) rates.delete(oldest);
    return allowed >= 1;
  };
  const destroyOldest = (sockets: readonly Destroyable[], most: number): void => {
    const [oldest] = sockets;
    if (oldest === undefined || sockets.length < most) return;
    handshakes.delete(oldest);
    oldest.destroy();
  };

  return {
    begin: (socket, address) => {
      if (!mayBegin(address)) return false;
      const ofAddress = [...handshakes].filter(([, from]) => from === address).map(([held]) => held);
      destroyOldest(ofAddress, of.handshakesOfAddress);
      destroyOldest([...handshakes.keys()], of.handshakes);
      handshakes.set(socket, address);
      return true;
    },
    end: (socket) => void handshakes.delete(socket),
    enter: (connected) => {
      const count = (counts: (other: Connected) => boolean): number => [...open].filter(counts).length;
      const others = connected.role === "admin" ? 0 : count(({ role }) => role !== "admin");
      const full = [
        {
          now: count(({ caller }) => caller === connected.caller),
          most: of.connectionsOfCaller,
          whose: "with this certificate",
        },
        {
          now: count(({ address }) => address === connected.address),
          most: of.connectionsOfAddress,
          whose: "from this address",
        },
        { now: others, most: of.connectionsOfOthers, whose: "from all callers except administrators" },
        { now: open.size, most: of.connections, whose: "from all callers" },
      ].find((bound) => bound.now >= bound.most);
      if (full !== undefined) {
        throw new KhwError("RESOURCE_EXHAUSTED", `${full.most} connections ${full.whose} are already open`, {
          hint: "stop programs that have open connections to this agent",
        });
      }
      // The entry is a copy, so that the set counts every connection, even if the same object is passed twice.
      const entry = { ...connected };
      open.add(entry);
      return () => void open.delete(entry);
    },
  };
}
