import { readFile } from "node:fs/promises";
import type { JSONWebKeySet, JWTVerifyGetKey } from "jose";
import { KhwError } from "../../proto/errors.ts";
import { isFields } from "../gce/fields.ts";
import { googleProxy, networkHint } from "../gce/proxy.ts";

/** The keys that verify identity tokens. */
export type KeySet = JWTVerifyGetKey;

const fetchMillis = 20_000;
const mostBytes = 262_144;

/**
 * Reads the key set (JWKS) from an https URL or a file.
 * @throws KhwError IO_FAILED, UNREACHABLE, CREDENTIAL_INVALID
 */
export async function readKeySet(source: string, signal: AbortSignal): Promise<KeySet> {
  const text = /^https?:\/\//i.test(source) ? await fetchText(source, signal) : await readText(source);
  const { createLocalJWKSet } = await import("jose");
  try {
    const keys: unknown = JSON.parse(text);
    if (!isKeySet(keys)) throw new Error("it has no keys");
    return createLocalJWKSet(keys);
  } catch (cause) {
    throw new KhwError("CREDENTIAL_INVALID", `${source} is not a JSON Web Key Set: ${reasonOf(cause)}`, {
      hint: "correct enrolment.jwks in khw.yaml",
      cause,
    });
  }
}

function isKeySet(value: unknown): value is JSONWebKeySet {
  return isFields(value) && Array.isArray(value["keys"]) && value["keys"].every(isFields);
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new KhwError("IO_FAILED", `${path} cannot be read: ${reasonOf(cause)}`, {
      hint: "correct enrolment.jwks in khw.yaml",
      cause,
    });
  });
}

/** Respects HTTPS_PROXY and NO_PROXY, like every request to Google. */
async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  googleProxy();
  const { EnvHttpProxyAgent, request } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent({ maxResponseSize: mostBytes });
  try {
    const answer = await request(url, {
      dispatcher,
      signal: AbortSignal.any([signal, AbortSignal.timeout(fetchMillis)]),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}`);
    return text;
  } catch (cause) {
    signal.throwIfAborted();
    throw new KhwError("UNREACHABLE", `cannot fetch the keys for identity tokens from ${url}: ${reasonOf(cause)}`, {
      hint: `${networkHint()}, or specify a file in enrolment.jwks`,
      cause,
    });
  } finally {
    await dispatcher.destroy();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
