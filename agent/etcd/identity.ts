import { etcdCredentials } from "../../proto/etcd.ts";
import type { Files } from "../os/os.ts";
import { credentialFile } from "../paths.ts";
import { type GatewayIdentity, unavailable } from "./gateway.ts";

/** The API server's own certificate, with which etcd is asked. @throws KhwError NOT_READY where it is not there. */
export async function readEtcdIdentity(server: string, files: Pick<Files, "read">): Promise<GatewayIdentity> {
  const [ca, cert, key] = await Promise.all(etcdCredentials.map((name) => files.read(credentialFile(name))));
  if (ca === undefined || cert === undefined || key === undefined) {
    throw unavailable(server, "the certificates to ask it with are not there");
  }
  return { ca, cert, key };
}
