import { KhwError } from "../../proto/errors.ts";

/**
 * Returns a fetch function that uses the environment's proxy settings in the same way as khw's own requests.
 * google-auth-library's own requests interpret NO_PROXY differently: they do not support `*`, subdomains or ports.
 */
export async function proxyFetch(): Promise<typeof fetch> {
  const { EnvHttpProxyAgent, fetch: send } = await import("undici");
  // Without pipelining, open connections do not keep the process alive.
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
      // The message has the same wording as the library's own fetch.
      throw new Error(`request to ${url.toString()} failed, reason: ${reason}`, { cause: error });
    }
  };
}
