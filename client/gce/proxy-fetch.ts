import { KhwError } from "../../proto/errors.ts";

/**
 * A fetch that goes through the environment's proxy, with the rules of khw's own requests. google-auth-library's own
 * requests read NO_PROXY in another way: no `*`, no subdomains, no ports.
 */
export async function proxyFetch(): Promise<typeof fetch> {
  const { EnvHttpProxyAgent, fetch: send } = await import("undici");
  // Without pipelining, no open connection keeps the process from ending.
  const dispatcher = new EnvHttpProxyAgent({ pipelining: 0 });
  return async (input, { method = "GET", headers, body = null, signal = null } = {}) => {
    const url = typeof input === "string" || input instanceof URL ? input : input.url;
    if (body !== null && typeof body !== "string" && !(body instanceof URLSearchParams)) {
      throw new KhwError("INTERNAL", `a request to ${new URL(url).host} has a body that is not text`);
    }
    try {
      return await send(url, { method, headers: [...new Headers(headers)], body, signal, dispatcher });
    } catch (error) {
      const reason = error instanceof TypeError && error.cause instanceof Error ? error.cause.message : undefined;
      if (reason === undefined) throw error;
      // The wording of the library's own fetch.
      throw new Error(`request to ${url.toString()} failed, reason: ${reason}`, { cause: error });
    }
  };
}
