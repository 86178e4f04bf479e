import { readEtcdClientFiles } from "../health/etcd-client.ts";
import type { Files } from "../os/files.ts";
import { type GatewayIdentity, etcdUnavailable } from "./gateway.ts";

/**
 * Reads the API server's certificate and key for etcd, which authenticate the agent's requests to etcd.
 * @throws KhwError NOT_READY if a file is missing
 */
export async function readEtcdIdentity(server: string, files: Pick<Files, "read">): Promise<GatewayIdentity> {
  const { ca, cert, key } = await readEtcdClientFiles((path) => files.read(path));
  if (ca === undefined || cert === undefined || key === undefined) {
    throw etcdUnavailable(server, "the client certificates for etcd are missing");
  }
  return { ca, cert, key };
}
