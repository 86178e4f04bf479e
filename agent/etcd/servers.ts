import { openGateway } from "./gateway.ts";
import { readEtcdIdentity } from "./identity.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import type { Files } from "../os/files.ts";

/** Sends requests to etcd servers through their JSON gateways. */
export function createEtcdServers(files: Pick<Files, "read">): EtcdServers {
  return {
    post: async (server, { path, body, signal, timeoutMillis }) => {
      const options = timeoutMillis === undefined ? {} : { callMillis: timeoutMillis };
      return openGateway(server, await readEtcdIdentity(server, files), options).post(path, body, signal);
    },
  };
}
