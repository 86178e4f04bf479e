import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { type Look, type WaitClock, waitFor } from "../../proto/wait-for.ts";
import { fieldOf, textAt } from "../pki/check/yaml.ts";

/** Two tokens that differ only in their signature. */
export interface ProbeTokens {
  /** A token that an API server has just signed. */
  readonly current: string;
  /** The same token, signed with another key. */
  readonly resigned: string;
}

/** An API server, and a function that sends it a request with a token. */
export interface TokenServer {
  readonly name: string;
  /** Returns the HTTP status of the response. */
  readonly ask: (token: string, signal: AbortSignal) => Promise<number>;
}

const tokenPath = "/api/v1/namespaces/default/serviceaccounts/default/token";
const shortestSeconds = 600;
const unauthorized = 401;
const notFound = 404;
/** In a new cluster, the controller manager creates the service account when it has become the leader. */
const accountMillis = 60_000;
const intervalMillis = 1000;

export interface TokenOptions {
  readonly signal: AbortSignal;
  readonly clock?: WaitClock;
}

/**
 * Requests a token, and signs the same claims with another key. An API server therefore judges the two tokens only by
 * their signatures.
 * @throws KhwError VERIFY_FAILED if the API server issues no token
 */
export async function probeTokens(api: KubernetesApi, otherKey: string, options: TokenOptions): Promise<ProbeTokens> {
  const current = await requestToken(api, options);
  const { CompactSign } = await import("jose");
  const payload = Buffer.from(current.split(".")[1] ?? "", "base64url");
  const key = createPrivateKey(otherKey);
  const resigned = await new CompactSign(payload)
    .setProtectedHeader({ alg: algorithmOf(key), kid: keyId(key) })
    .sign(key);
  return { current, resigned };
}

/**
 * Requests a token for the service account `default`. In a new cluster, waits until the service account exists.
 * @throws KhwError VERIFY_FAILED if the API server issues no token
 */
export async function requestToken(api: KubernetesApi, options: TokenOptions): Promise<string> {
  const request = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { expirationSeconds: shortestSeconds },
  };
  const ask = async (signal: AbortSignal): Promise<Look<string>> => {
    const { status, body } = await api("POST", tokenPath, { signal, body: request });
    const token = textAt(fieldOf(body, "status"), "token");
    if (status === 201 && token !== undefined) return { reached: token };
    if (status === notFound) return { seen: "status 404" };
    throw noToken(status);
  };
  return waitFor({
    what: "the service account default does not exist",
    check: ask,
    deadlineMillis: accountMillis,
    intervalMillis,
    late: () => noToken(notFound),
    ...options,
  });
}

function noToken(status: number): KhwError {
  return new KhwError("VERIFY_FAILED", `the API server answered the request for a token with status ${status}`, {
    hint: "check that the service account default exists in the namespace default, then run the command again",
  });
}

/** Returns the time at which an API server signed the token. */
export function signedAt(token: string): Date {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  return new Date(Number(fieldOf(claims, "iat")) * 1000);
}

/**
 * Checks that every server accepts the current token, and that every server treats the other token as `otherIs` says.
 * @throws KhwError VERIFY_FAILED that names the server
 */
export async function checkTokens(
  servers: readonly TokenServer[],
  { current, resigned }: ProbeTokens,
  { otherIs, signal }: { readonly otherIs: "accepted" | "refused"; readonly signal: AbortSignal },
): Promise<void> {
  for (const { name, ask } of servers) {
    const [own, other] = [await ask(current, signal), await ask(resigned, signal)];
    if (own === unauthorized) {
      throw new KhwError("VERIFY_FAILED", `${name}: the API server refuses a token that was signed just now (401)`, {
        hint: "run khw-client plan to see whether a node has different key files",
      });
    }
    if ((other === unauthorized) === (otherIs === "refused")) continue;
    throw new KhwError(
      "VERIFY_FAILED",
      `${name}: a token signed with the old key is ${describe(other)}, but ${otherIs} is expected`,
      {
        hint: "run khw-client plan to see whether a node has different key files; then run the command again",
      },
    );
  }
}

function describe(status: number): string {
  return status === unauthorized ? "refused (401)" : `accepted (${status})`;
}

/** Returns the name that Kubernetes gives to the key in the header of its tokens. */
function keyId(key: KeyObject): string {
  const der = createPublicKey(key).export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("base64url");
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  if (asymmetricKeyType === "rsa") return "RS256";
  const curves: Readonly<Record<string, string>> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };
  return curves[asymmetricKeyDetails?.namedCurve ?? ""] ?? "RS256";
}
