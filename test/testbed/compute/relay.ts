import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";

/**
 * Returns the hash that selects the instance for a connection. The hash covers the source and the destination. It omits
 * the protocol, which is always TCP. The ports are left out if the pool's session affinity is based on the client
 * (Google, "Using target pools").
 */
export function hashOf(client: Socket, sessionAffinity: string): number {
  const { remoteAddress, remotePort, localAddress, localPort } = client;
  const addresses = [remoteAddress, localAddress];
  const tuple = sessionAffinity === "NONE" ? [...addresses, remotePort, localPort] : addresses;
  return createHash("md5").update(JSON.stringify(tuple)).digest().readUInt32BE();
}

/**
 * Connects a client to an instance and supports half-closed connections. If one side refuses or resets its connection,
 * the connection on the other side is reset. An established connection is kept even if the instance becomes unhealthy.
 * Returns the socket to the instance.
 */
export function relay(client: Socket, to: { readonly host: string; readonly port: number }): Socket {
  const instance = connect({ ...to, allowHalfOpen: true });
  client.once("error", () => instance.resetAndDestroy());
  instance.once("error", () => client.resetAndDestroy());
  client.pipe(instance).pipe(client);
  return instance;
}
