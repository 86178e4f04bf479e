import { once } from "node:events";
import { connect, createServer } from "node:net";
import { freemem } from "node:os";
import { deadline } from "./deadline.ts";

/** The results of the agent's self-checks. They show whether the agent can observe the machine correctly. */
export interface SelfFacts {
  /** Why a connection to the agent's own listener failed; null if it succeeded. */
  readonly loopback: string | null;
  /** How late a timer fired, in milliseconds. */
  readonly lateMillis: number;
  /** The machine's available memory, in bytes. */
  readonly freeBytes: number;
  /** The share of the agent's memory limit that is in use, from 0 to 1. */
  readonly memoryShare: number;
}

const loopbackMillis = 1_000;
const timerMillis = 20;

/** Tests a connection to the agent's own listener, and measures the delay of a timer and the memory. */
export async function readSelf(signal: AbortSignal): Promise<SelfFacts> {
  const [loopback, lateMillis] = await Promise.all([loopbackFailure(signal), lateness()]);
  signal.throwIfAborted();
  const allowed = process.constrainedMemory();
  return {
    loopback,
    lateMillis,
    freeBytes: freemem(),
    // Without a limit, libuv returns 0 or a number larger than any machine's memory.
    memoryShare: allowed > 0 ? Math.min(1, process.memoryUsage.rss() / allowed) : 0,
  };
}

async function lateness(): Promise<number> {
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, timerMillis));
  return Math.max(0, performance.now() - begun - timerMillis);
}

/**
 * Returns null if a byte arrives, otherwise the reason. The byte shows that file descriptors, socket buffers and the
 * loopback interface work.
 */
async function loopbackFailure(signal: AbortSignal): Promise<string | null> {
  using limit = deadline(signal, loopbackMillis, () => new Error(`no answer within ${loopbackMillis / 1000} s`));
  const server = createServer((socket) => socket.on("error", () => {}).end("."));
  try {
    server.listen(0, "127.0.0.1");
    await once(server, "listening", { signal: limit.signal });
    const address = server.address();
    if (typeof address !== "object" || address === null) return "its listener has no address";
    const socket = connect({ host: "127.0.0.1", port: address.port, signal: limit.signal });
    try {
      const [byte]: unknown[] = await once(socket, "data", { signal: limit.signal });
      return byte === undefined ? "the connection was closed" : null;
    } finally {
      socket.on("error", () => {}).destroy();
    }
  } catch (error) {
    const reason: unknown = limit.signal.aborted ? limit.signal.reason : error;
    return reason instanceof Error ? reason.message : String(reason);
  } finally {
    server.close();
  }
}
