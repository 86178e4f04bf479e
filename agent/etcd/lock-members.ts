import type { EtcdServers } from "../os/etcd-servers.ts";
import { keepAlive } from "./keep-alive.ts";
import { createEtcdLock } from "./lock.ts";

const lock = { key: "/khw/etcd/join", doing: "is changing etcd's members", ttlSeconds: 60 };

/**
 * Locks the list of etcd's members, so that only one agent at a time can change it. The lock ends when the returned
 * object is disposed of. A joining member does not count towards the quorum. A rejoining member must not be mistaken
 * for a removed member.
 * @throws KhwError BUSY while another controller holds the lock
 */
export async function lockMembers(
  etcd: EtcdServers,
  server: string,
  { holder, signal }: { readonly holder: string; readonly signal: AbortSignal },
): Promise<AsyncDisposable> {
  const held = await createEtcdLock(etcd).acquire(server, { ...lock, value: holder, signal });
  return keepAlive(held, lock.ttlSeconds);
}
