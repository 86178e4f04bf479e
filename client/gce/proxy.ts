import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";

/**
 * The environment variables that undici and google-auth-library check, in this order, for the proxy for TLS
 * connections.
 */
const variables = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"] as const;

interface Proxy {
  readonly variable: string;
  readonly url: URL;
}

/**
 * Returns the proxy for requests to Google. The libraries that send these requests read the same variables.
 * @throws KhwError INVALID_ARGUMENT for a value that is not a proxy URL
 */
export function googleProxy(env: Readonly<Record<string, string | undefined>> = process.env): Proxy | undefined {
  for (const variable of variables) {
    const text = env[variable]?.trim();
    if (text === undefined || text === "") continue;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url !== undefined && /^https?:$/.test(url.protocol) && url.hostname !== "") return { variable, url };
    // Hides the text before "@", which may contain a password.
    throw new KhwError("INVALID_ARGUMENT", `${variable}: ${show(text.replace(/^.*@/, ""))} is not a proxy URL`, {
      hint: `include the scheme: ${variable}=http://HOST:PORT`,
    });
  }
  return undefined;
}

/** Returns the hint for a network error. The hint includes the proxy in use, but not the proxy's password. */
export function networkHint(): string {
  const proxy = googleProxy();
  if (proxy === undefined) return "check the network (behind a proxy, set HTTPS_PROXY), then run the command again";
  return `check the network and the proxy in ${proxy.variable}, ${proxy.url.protocol}//${proxy.url.host}, then run the command again`;
}
