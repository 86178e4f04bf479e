/**
 * Compute Engine's metadata server: answers each machine by the address that it asks from.
 *
 * usage: node metadata.ts --listen ADDRESS:PORT --control SOCKET --project ID/NUMBER --zone REGION/ZONE --instances NAME=INTERNAL/EXTERNAL,...
 * Behaviour: https://cloud.google.com/compute/docs/metadata/querying-metadata
 */
import type { IncomingMessage } from "node:http";
import { parseArgs } from "node:util";

import type { Answer } from "./answer.ts";
import { serve, serveOptions } from "./serve.ts";

/** A folder of the metadata, or a value in it. */
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
    },
  });
  const { listen = "", control = "" } = values;
  const [project = "", projectNumber = ""] = values.project.split("/");
  const [region = "", zone = ""] = values.zone.split("/");
  const platform = { project, projectNumber, region, zone };
  const instances = values.instances.split(",").map((text): Instance => {
    const [name = "", internal = "", external = ""] = text.split(/[=/]/);
    return { name, internal, external };
  });
  await serve({
    listen,
    control,
    answer: (request) => {
      const instance = instances.find(({ internal }) => internal === request.socket.remoteAddress);
      return answer(request, metadataOf(platform, instance));
    },
  });
}

function metadataOf({ project, projectNumber, region, zone }: Platform, instance: Instance | undefined): Metadata {
  const account = {
    aliases: "default\n",
    email: `${projectNumber}-compute@developer.gserviceaccount.com`,
    scopes: "https://www.googleapis.com/auth/cloud-platform\n",
    token: JSON.stringify({ access_token: "testbed-token", expires_in: 3599, token_type: "Bearer" }),
  };
  return {
    instance: {
      ...(instance && {
        attributes: {},
        hostname: `${instance.name}.c.${project}.internal`,
        name: instance.name,
        "network-interfaces": {
          "0": { "access-configs": { "0": { "external-ip": instance.external } }, ip: instance.internal },
        },
      }),
      "service-accounts": { default: account, [account.email]: account },
      zone: `projects/${projectNumber}/zones/${zone}`,
    },
    project: {
      attributes: { "google-compute-default-region": region, "google-compute-default-zone": zone },
      "numeric-project-id": projectNumber,
      "project-id": project,
    },
    universe: { "universe-domain": "googleapis.com" },
  };
}

function answer(request: IncomingMessage, metadata: Metadata): Answer {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://metadata");
  if (request.headers["metadata-flavor"] !== "Google") return refusal(403, "Missing Metadata-Flavor:Google header.");
  // Any proxy in between adds this header: a request that carries it did not come from the machine itself.
  if (request.headers["x-forwarded-for"] !== undefined) return refusal(403, "X-Forwarded-For is not allowed.");
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
