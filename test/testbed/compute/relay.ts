import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";

/**
 * What decides which instance a connection goes to: a hash over its source and destination (the protocol is always
 * TCP), without the ports where the pool's session affinity is by client (Google, "Using target pools").
 */
export function hashOf(client: Socket, sessionAffinity: string): number {
  const { remoteAddress, remotePort, localAddress, localPort } = client;
  const addresses = [remoteAddress, localAddress];
  const tuple = sessionAffinity === "NONE" ? [...addresses, remotePort, localPort] : addresses;
  return createHash("md5").update(JSON.stringify(tuple)).digest().readUInt32BE();
}

/**
 * Joins a client to an instance, half-closes included; a refusal or reset on one side resets the other. Once it stands
 * it stays, whatever becomes of the instance's health. Returns the instance's side.
 */
export function relay(client: Socket, to: { readonly host: string; readonly port: number }): Socket {
  const instance = connect({ ...to, allowHalfOpen: true });
  client.once("error", () => instance.resetAndDestroy());
  instance.once("error", () => client.resetAndDestroy());
  client.pipe(instance).pipe(client);
  return instance;
}
