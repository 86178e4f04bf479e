import { createSecureContext, getCACertificates } from "node:tls";
import type { Dispatcher } from "undici";

export interface DispatcherOptions {
  /** A proxy's URL. If empty, the environment decides (HTTPS_PROXY, HTTP_PROXY, NO_PROXY). */
  readonly proxy: string;
  /** Certificates that are trusted in addition to the system's certificates. */
  readonly caPem: string;
  readonly connectMillis: number;
}

/** Creates the HTTP dispatcher for the mirrors; its owner destroys it. */
export async function createDispatcher({ proxy, caPem, connectMillis }: DispatcherOptions): Promise<Dispatcher> {
  const { EnvHttpProxyAgent, ProxyAgent } = await import("undici");
  const system = getCACertificates("system");
  const tls = {
    // Created once, because parsing the system's certificates for each connection is slow.
    secureContext: createSecureContext({
      ca: [...(system.length > 0 ? system : getCACertificates("bundled")), ...(caPem === "" ? [] : [caPem])],
      // Mirrors are run by third parties, so TLS 1.2 is accepted, although the agent's own server requires TLS 1.3.
      minVersion: "TLSv1.2",
    }),
    timeout: connectMillis,
  };
  const options = { connect: tls, requestTls: tls, proxyTls: tls };
  return proxy === "" ? new EnvHttpProxyAgent(options) : new ProxyAgent({ ...options, uri: proxy });
}
