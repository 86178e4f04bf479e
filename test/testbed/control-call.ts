/** Makes calls to a testbed server over its control socket. */
import { Agent, request } from "undici";

/** Makes a call and returns the parsed response. If the server refuses the call, rejects with the server's message. */
export type ControlCall = <T>(method: "GET" | "PUT" | "DELETE", path: string, body?: unknown) => Promise<T>;

/**
 * Returns a function that makes calls, and a function that closes the connection. The connection is opened on the first
 * call.
 */
export function controlCalls(socketPath: string): { readonly call: ControlCall; readonly close: () => Promise<void> } {
  const agent = new Agent({ connect: { socketPath }, headersTimeout: 10_000, bodyTimeout: 10_000 });
  return {
    call: async <T>(method: "GET" | "PUT" | "DELETE", path: string, body?: unknown): Promise<T> => {
      const answer = await request(`http://control${path}`, {
        method,
        dispatcher: agent,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
      const value: T = JSON.parse(text);
      return value;
    },
    close: () => agent.close(),
  };
}
