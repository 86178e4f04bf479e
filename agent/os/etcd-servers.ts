/** The cluster's etcd servers; requests use the API server's own certificate. */
export interface EtcdServers {
  /**
   * Sends a request to a server of the v3 API. In the response, 64-bit numbers are decimal strings, and bytes are
   * Base64.
   * @param server its client URL
   * @throws KhwError NOT_READY if the server cannot be reached, or refuses
   */
  post(
    server: string,
    request: {
      readonly path: string;
      readonly body: unknown;
      readonly signal: AbortSignal;
      /** 3 s by default. */
      readonly timeoutMillis?: number;
    },
  ): Promise<Readonly<Record<string, unknown>>>;
}
