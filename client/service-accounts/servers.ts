import { KhwError, toKhwError } from "../../proto/errors.ts";
import { createKubernetesApi } from "../../proto/kubernetes-api.ts";
import type { OpenCluster } from "../cluster/open.ts";
import type { TokenServer } from "./probe.ts";

const requestMillis = 10_000;
/** kubernetes.pem is always valid for this name, but may not be valid for the controllers' external addresses. */
const servingName = "kubernetes.default.svc";
/** Every caller with a valid token may request this path. A request with an invalid token gets a 401 response. */
const probePath = "/api";

export interface ServersOptions {
  /** The cluster's CA in PEM. */
  readonly ca: Buffer;
  readonly publicAddress: string;
  readonly signal: AbortSignal;
}

/**
 * Returns each API server that answers this workstation at its controller's own address, and also the public address. A
 * firewall can block all controllers; then only the public address is returned.
 */
export async function tokenServers(
  { members }: Pick<OpenCluster, "members">,
  { ca, publicAddress, signal }: ServersOptions,
): Promise<readonly TokenServer[]> {
  const open = (name: string, host: string, servername?: string): TokenServer => ({
    name,
    ask: async (token, signal) => {
      const named = servername === undefined ? {} : { servername };
      const api = createKubernetesApi({
        server: `https://${host}:6443`,
        ca,
        token,
        timeoutMillis: requestMillis,
        ...named,
      });
      return (await api("GET", probePath, { signal })).status;
    },
  });
  const own = members.map(({ node }) => open(node.address.name, node.address.host, servingName));
  const reached = await Promise.all(own.map((server) => canAsk(server, signal)));
  return [...own.filter((_, index) => reached[index]), open("the public address", publicAddress)];
}

async function canAsk({ ask }: TokenServer, signal: AbortSignal): Promise<boolean> {
  try {
    await ask("none", signal);
    return true;
  } catch (thrown) {
    signal.throwIfAborted();
    const error = toKhwError(thrown);
    if (error.code === "UNREACHABLE") return false;
    throw new KhwError(error.code, error.message, error);
  }
}
