/** Sends requests to the cluster's etcd servers, with the API server's certificate. */
export interface EtcdServers {
  /**
   * Sends a request to a server's v3 API. In the response, 64-bit numbers are decimal strings, and bytes are in Base64.
   * @param server the server's client URL
   * @throws KhwError NOT_READY if the server cannot be reached or refuses the request
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
