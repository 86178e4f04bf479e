import { createSecureContext, getCACertificates } from "node:tls";
import type { Dispatcher } from "undici";

export interface DispatcherOptions {
  /**
   * The URL of the proxy. If the URL is empty, the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply.
   */
  readonly proxy: string;
  /** Certificates that are trusted in addition to the system's certificates. */
  readonly caPem: string;
  readonly connectMillis: number;
}

/** Creates the HTTP dispatcher for the mirrors. The caller must destroy it. */
export async function createDispatcher({ proxy, caPem, connectMillis }: DispatcherOptions): Promise<Dispatcher> {
  const { EnvHttpProxyAgent, ProxyAgent } = await import("undici");
  const system = getCACertificates("system");
  const tls = {
    // Parses the system's certificates only once, because parsing them for each connection would be slow.
    secureContext: createSecureContext({
      ca: [...(system.length > 0 ? system : getCACertificates("bundled")), ...(caPem === "" ? [] : [caPem])],
      // Accepts TLS 1.2, because third parties run the mirrors. The agent's own server requires TLS 1.3.
      minVersion: "TLSv1.2",
    }),
    timeout: connectMillis,
  };
  const options = { connect: tls, requestTls: tls, proxyTls: tls };
  return proxy === "" ? new EnvHttpProxyAgent(options) : new ProxyAgent({ ...options, uri: proxy });
}
