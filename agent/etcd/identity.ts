import { etcdCredentials } from "../../proto/etcd.ts";
import type { Files } from "../os/files.ts";
import { credentialFile } from "../paths.ts";
import { type GatewayIdentity, etcdUnavailable } from "./gateway.ts";

/**
 * Reads the API server's certificate and key, which authenticate the agent's requests to etcd.
 * @throws KhwError NOT_READY if a file is missing
 */
export async function readEtcdIdentity(server: string, files: Pick<Files, "read">): Promise<GatewayIdentity> {
  const [ca, cert, key] = await Promise.all(etcdCredentials.map((name) => files.read(credentialFile(name))));
  if (ca === undefined || cert === undefined || key === undefined) {
    throw etcdUnavailable(server, "the client certificates for etcd are missing");
  }
  return { ca, cert, key };
}
