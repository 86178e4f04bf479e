/**
 * Simulates Compute Engine's metadata server. It recognizes each machine by the source address of the request.
 *
 * Custom metadata and an instance's number come from the Compute Engine API, through the API's control socket. The
 * server signs identity tokens with its own key and serves the public key at /oauth2/v3/certs.
 *
 * usage: node metadata.ts --listen ADDRESS:PORT --control SOCKET --project ID/NUMBER --zone REGION/ZONE --compute SOCKET
 *          --instances NAME=INTERNAL/EXTERNAL[/ZONE],...
 * Behavior: https://cloud.google.com/compute/docs/metadata/querying-metadata
 */
import type { IncomingMessage } from "node:http";
import { parseArgs } from "node:util";

import type { Answer } from "./answer.ts";
import { openCloud, type Wait } from "./cloud.ts";
import { createTokenSigner, type TokenInstance, type TokenSigner } from "./identity-token.ts";
import { serve, serveOptions } from "./serve.ts";

/** A metadata folder, or a value in a folder. */
type Metadata = string | { readonly [name: string]: Metadata };

interface Platform {
  readonly project: string;
  readonly projectNumber: string;
  readonly region: string;
  readonly zone: string;
}

interface Instance {
  readonly name: string;
  readonly internal: string;
  readonly external: string;
  readonly zone: string;
}

const root = "/computeMetadata/v1/";
const signed = { "Metadata-Flavor": "Google", Server: "Metadata Server for VM" };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...serveOptions,
      project: { type: "string", default: "" },
      zone: { type: "string", default: "" },
      instances: { type: "string", default: "" },
      compute: { type: "string", default: "" },
    },
  });
  const { listen = "", control = "" } = values;
  const [project = "", projectNumber = ""] = values.project.split("/");
  const [region = "", zone = ""] = values.zone.split("/");
  const platform = { project, projectNumber, region, zone };
  const instances = values.instances.split(",").map((text): Instance => {
    const [name = "", internal = "", external = "", own = zone] = text.split(/[=/]/);
    return { name, internal, external, zone: own };
  });
  const cloud = openCloud(values.compute, platform);
  const signer = createTokenSigner(platform);
  await serve({
    listen,
    control,
    answer: async (request) => {
      if (request.url === "/oauth2/v3/certs") return success("application/json", JSON.stringify(signer.jwks()));
      const instance = instances.find(({ internal }) => internal === request.socket.remoteAddress);
      const refused = refusedAtOnce(request);
      if (refused !== undefined || instance === undefined) return refused ?? answer(request, metadataOf(platform));
      if (isFor(request, "instance/service-accounts/default/identity")) {
        return tokenAnswer(request, { ...instance, id: (await cloud.instance(instance)).id }, signer);
      }
      if (isFor(request, "instance/attributes")) {
        const attributes = await cloud.attributes(instance, waitOf(request));
        const found = answer(request, metadataOf(platform, instance, attributes.values));
        return { ...found, headers: { ...found.headers, ETag: attributes.etag } };
      }
      return answer(request, metadataOf(platform, instance));
    },
  });
}

function metadataOf(
  { project, projectNumber, region, zone }: Platform,
  instance?: Instance,
  attributes: Metadata = {},
): Metadata {
  const account = {
    aliases: "default\n",
    email: `${projectNumber}-compute@developer.gserviceaccount.com`,
    scopes: "https://www.googleapis.com/auth/cloud-platform\n",
    token: JSON.stringify({ access_token: "testbed-token", expires_in: 3599, token_type: "Bearer" }),
  };
  return {
    instance: {
      ...(instance && {
        attributes,
        hostname: `${instance.name}.c.${project}.internal`,
        name: instance.name,
        "network-interfaces": {
          "0": { "access-configs": { "0": { "external-ip": instance.external } }, ip: instance.internal },
        },
      }),
      "service-accounts": { default: account, [account.email]: account },
      zone: `projects/${projectNumber}/zones/${instance?.zone ?? zone}`,
    },
    project: {
      attributes: { "google-compute-default-region": region, "google-compute-default-zone": zone },
      "numeric-project-id": projectNumber,
      "project-id": project,
    },
    universe: { "universe-domain": "googleapis.com" },
  };
}

function refusedAtOnce(request: IncomingMessage): Answer | undefined {
  if (request.headers["metadata-flavor"] !== "Google") return refusal(403, "Missing Metadata-Flavor:Google header.");
  // Proxies add this header, so a request that has it does not come directly from the machine.
  if (request.headers["x-forwarded-for"] !== undefined) return refusal(403, "X-Forwarded-For is not allowed.");
  return undefined;
}

function urlOf({ url }: IncomingMessage): URL {
  return new URL(url ?? "", "http://metadata");
}

/** Whether the request is for this value or folder, or for a value inside this folder. */
function isFor(request: IncomingMessage, path: string): boolean {
  return `${urlOf(request).pathname}/`.startsWith(`${root}${path}/`);
}

/** Returns the last state that a waiting caller has seen, and how long the caller wants to wait for a change. */
function waitOf(request: IncomingMessage): Wait | undefined {
  const { searchParams } = urlOf(request);
  if (searchParams.get("wait_for_change") !== "true") return undefined;
  return { etag: searchParams.get("last_etag") ?? "0", millis: Number(searchParams.get("timeout_sec") ?? 60) * 1000 };
}

function tokenAnswer(request: IncomingMessage, instance: TokenInstance, signer: TokenSigner): Answer {
  const audience = urlOf(request).searchParams.get("audience");
  if (audience === null) return refusal(400, "non-empty audience parameter required");
  const full = urlOf(request).searchParams.get("format") === "full";
  return success("text/html", signer.sign(audience, full ? instance : undefined));
}

function answer(request: IncomingMessage, metadata: Metadata): Answer {
  const refused = refusedAtOnce(request);
  if (refused !== undefined) return refused;
  const { pathname, searchParams } = urlOf(request);
  if (!pathname.startsWith(root)) return refusal(404, "Not found.");
  const path = pathname.slice(root.length);
  const found = path
    .split("/")
    .filter(Boolean)
    .reduce<Metadata | undefined>(
      (folder, name) => (typeof folder === "object" && Object.hasOwn(folder, name) ? folder[name] : undefined),
      metadata,
    );
  if (found === undefined) return refusal(404, "Not found.");
  if (searchParams.get("recursive")?.toLowerCase() === "true")
    return success("application/json", JSON.stringify(found));
  if (typeof found === "string") {
    return success(found.startsWith("{") ? "application/json" : "application/text", found);
  }
  const names = Object.entries(found).map(([name, value]) => (typeof value === "string" ? name : `${name}/`));
  return success("application/text", `${names.join("\n")}\n`);
}

function success(type: string, body: string): Answer {
  return { status: 200, headers: { ...signed, "Content-Type": type }, body };
}

function refusal(status: number, why: string): Answer {
  return { status, headers: { ...signed, "Content-Type": "text/html; charset=UTF-8" }, body: `${why}\n` };
}

await main();
