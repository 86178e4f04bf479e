import { KhwError } from "../../proto/errors.ts";
import { readMetadata } from "./metadata.ts";
import type { MetadataOptions } from "./metadata-http.ts";

/**
 * Requests an access token for the instance's service account. The token is a secret; use it only in the Authorization
 * header.
 * @throws KhwError METADATA_UNAVAILABLE if the instance has no service account, or if its metadata server does not
 * answer
 */
export async function readAccessToken(options: MetadataOptions): Promise<string> {
  const answer = await readMetadata("instance/service-accounts/default/token", options);
  if (answer === undefined) throw tokenUnavailable("the instance has no service account");
  try {
    const { access_token: token }: { access_token?: unknown } = JSON.parse(answer);
    if (typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return token;
  } catch {
    // Drops the parser's message, which could contain part of the response and therefore part of the token.
  }
  throw tokenUnavailable("the metadata server's response contains no token");
}

function tokenUnavailable(why: string): KhwError {
  return new KhwError("METADATA_UNAVAILABLE", `no access token: ${why}`, {
    hint: "give the instance a service account with the scope devstorage.read_write",
  });
}
