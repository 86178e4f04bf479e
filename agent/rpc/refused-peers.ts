import { type PerMinute, perMinute } from "../audit/per-minute.ts";

/** Logs refused connections with the reason, at most one line per minute for each address and reason. */
export interface RefusedPeers extends Pick<PerMinute<unknown>, "close"> {
  add(peer: string, reason: string): void;
}

export function countRefusedPeers(log: (line: string) => void): RefusedPeers {
  const counts = perMinute({
    others: { peer: "other addresses", reason: "too many to list" },
    emit: ({ peer, reason }, more) =>
      log(
        more === 0
          ? `refused a connection from ${peer}: ${reason}`
          : `refused ${more} more connections from ${peer} within a minute: ${reason}`,
      ),
  });
  return { add: (peer, reason) => counts.add(`${peer} ${reason}`, { peer, reason }), close: () => counts.close() };
}
