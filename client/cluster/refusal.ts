import { addAbortSignal } from "node:stream";
import { type ConnectionOptions, connect } from "node:tls";
import { type ServiceError, status } from "@grpc/grpc-js";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { decodeRefusal, maxRefusalBytes } from "../../proto/refusal.ts";
import { isServiceError, nodeError } from "./call-errors.ts";
import { channelTls, type ManagementIdentity, type NodeAddress } from "./channel.ts";

/** The parameters of a connection to an agent. */
export interface Dial {
  readonly address: NodeAddress;
  readonly tls: () => ConnectionOptions;
}

export function dialOf(address: NodeAddress, identity: ManagementIdentity): Dial {
  return { address, tls: () => channelTls(identity) };
}

const askMillis = 3_000;
/**
 * These failures mean that there was no connection, or that the peer was not a trusted agent. In both cases, no trusted
 * agent has sent a reason.
 */
const neverMade = /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|Name resolution/;

/** The text that grpc-js reports for the GOAWAY frame of a refused connection. */
const wasRefused = /Protocol not secure enough|INADEQUATE_SECURITY/;

/**
 * Reported if the agent refuses only the first connection. Between the two connections, the agent may have received the
 * caller's CA, or the correct time.
 */
const passed = new KhwError("UNAUTHENTICATED", "the agent refused the first connection and accepted a second one", {
  hint: "run the command again",
});

/**
 * Explains a failed call. An agent that refuses a connection sends the reason in its first bytes, but grpc-js drops
 * these bytes. Opens a second connection to read the reason.
 */
async function callError(dial: Dial, error: ServiceError): Promise<KhwError> {
  const explained = nodeError(dial.address, error);
  const { code, details } = error;
  if (explained.code !== "UNREACHABLE" || code === status.DEADLINE_EXCEEDED || neverMade.test(details))
    return explained;
  const refusal = (await askForRefusal(dial).catch(() => undefined)) ?? (wasRefused.test(details) ? passed : undefined);
  if (refusal === undefined) return explained;
  return new KhwError(refusal.code, refusal.message, {
    node: dial.address.name,
    hint: refusal.hint,
    cause: error,
  });
}

/** Rejects with a KhwError that names the node and explains the failure of the call. */
export async function rethrow(dial: Dial, error: unknown): Promise<never> {
  throw isServiceError(error) ? await callError(dial, error) : toKhwError(error).at({ node: dial.address.name });
}

/**
 * Trusts only an agent with a valid certificate. Rejects if there is no connection, or if the connection delivers no
 * data.
 */
async function askForRefusal({ address, tls }: Dial): Promise<KhwError | undefined> {
  const { name, host, port } = address;
  const socket = connect({ ...tls(), host, port, servername: name, ALPNProtocols: ["h2"] });
  addAbortSignal(AbortSignal.timeout(askMillis), socket);
  const parts: AsyncIterable<Buffer> = socket;
  let said = Buffer.alloc(0);
  // Leaving the loop destroys the socket.
  for await (const part of parts) {
    said = Buffer.concat([said, part]);
    const refusal = decodeRefusal(said);
    if (refusal !== undefined || said.length > maxRefusalBytes) return refusal;
  }
  return undefined;
}
