import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import type { AuthClient } from "google-auth-library";
import { KhwError } from "../../proto/errors.ts";
import { isFields } from "./fields.ts";
import { googleProxy, networkHint } from "./proxy.ts";
import { proxyFetch } from "./proxy-fetch.ts";

/**
 * Returns the headers that authenticate a request; empty if no authentication is configured. Called for every request.
 */
export type Credentials = (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;

const scopes = ["https://www.googleapis.com/auth/compute"];
const lookupMillis = 30_000;
/** Matches google-auth-library's message for a request without a response. */
const unanswered = /request to \S+ failed, reason: /;
const signIn = "sign in with gcloud auth application-default login, or set gce.auth to a service account's key file";

/**
 * Opens the credentials of `gce.auth` (see ComputeConnection). The credentials are looked up on the first request, and
 * kept for the lifetime of the process.
 */
export function openCredentials(auth: string, project: string): Credentials {
  let source: Promise<Credentials> | undefined;
  return async (signal) => {
    source ??= findCredentials(auth, project, AbortSignal.any([signal, AbortSignal.timeout(lookupMillis)]));
    return (await source)(signal);
  };
}

async function findCredentials(auth: string, project: string, signal: AbortSignal): Promise<Credentials> {
  googleProxy();
  switch (auth) {
    case "none":
      return async () => ({});
    case "gcloud":
      return gcloudToken(signal);
    case "auto":
      return (await applicationDefault(project)) ?? gcloudToken(signal);
    default:
      return serviceAccount(auth);
  }
}

/** Returns undefined if there are no application default credentials. */
async function applicationDefault(project: string): Promise<Credentials | undefined> {
  const { GoogleAuth } = await import("google-auth-library");
  try {
    // Without the project's id, the library would run gcloud to find an id.
    return await headersOf(await new GoogleAuth({ scopes, projectId: project }).getClient());
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("Could not load the default credentials")) return undefined;
    throw unusable("application default credentials", error);
  }
}

async function serviceAccount(file: string): Promise<Credentials> {
  const { JWT } = await import("google-auth-library");
  try {
    const key: unknown = JSON.parse(await readFile(file, "utf8"));
    if (!isServiceAccount(key)) throw new Error("it is not a service account's key file");
    return await headersOf(new JWT({ email: key.client_email, key: key.private_key, scopes }));
  } catch (error) {
    // The parser's message would quote the text, which is secret.
    const shown = error instanceof SyntaxError ? new Error("it is not JSON") : error;
    throw unusable(`gce.auth: ${file}`, shown);
  }
}

function isServiceAccount(key: unknown): key is { client_email: string; private_key: string } {
  return (
    isFields(key) &&
    key["type"] === "service_account" &&
    typeof key["client_email"] === "string" &&
    typeof key["private_key"] === "string"
  );
}

async function headersOf(client: AuthClient): Promise<Credentials> {
  sendWith(client, await proxyFetch());
  return async () => {
    try {
      return Object.fromEntries(await client.getRequestHeaders());
    } catch (error) {
      throw unusable("Google's token service", error);
    }
  };
}

/**
 * Makes a client use this function for its requests. The client's inner clients, for example for an impersonated
 * account, also use the function.
 */
function sendWith(client: object, fetchImplementation: typeof fetch): void {
  if (!hasTransporter(client)) return;
  client.transporter.defaults.fetchImplementation = fetchImplementation;
  for (const part of Object.values(client)) if (isFields(part)) sendWith(part, fetchImplementation);
}

function hasTransporter(value: object): value is Pick<AuthClient, "transporter"> {
  return "transporter" in value && typeof value.transporter === "object" && value.transporter !== null;
}

/** Reads the token from a pipe and keeps it in memory. The token never becomes a command-line argument. */
async function gcloudToken(signal: AbortSignal): Promise<Credentials> {
  const token = await new Promise<string>((resolve, reject) => {
    execFile("gcloud", ["auth", "print-access-token", "--quiet"], { signal }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else reject(unusable("gcloud auth print-access-token", stderr.trim() === "" ? error : new Error(stderr.trim())));
    });
  });
  return async () => ({ authorization: `Bearer ${token}` });
}

function unusable(source: string, error: unknown): KhwError {
  const message = error instanceof Error ? error.message : String(error);
  return new KhwError("COMPUTE_FAILED", `no credentials for the Compute Engine API: ${source}: ${message}`, {
    hint: unanswered.test(message) ? networkHint() : signIn,
    cause: error,
  });
}
