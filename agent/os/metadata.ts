import { KhwError } from "../../proto/errors.ts";
import type { Identity } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseIPv4, parseNodeName, refuse, show } from "../../proto/validate.ts";
import { deadline } from "./deadline.ts";
import { type MetadataOptions, readValue, metadataUnavailable } from "./metadata-http.ts";

/** Reads one value below /computeMetadata/v1/; undefined if the server has no value with that name. */
type ReadValue = (name: string) => Promise<string | undefined>;

/**
 * Reads this instance's name, internal IP address and location from Compute Engine's metadata server.
 * @throws KhwError METADATA_UNAVAILABLE if the server does not answer in time, or if its response does not look like
 * one from Google's server
 */
export async function readIdentity(options: MetadataOptions): Promise<Identity> {
  const { signal, baseUrl = "http://metadata.google.internal", deadlineMillis = 60_000 } = options;
  const seen = new Map<string, string>();
  using limit = deadline(signal, deadlineMillis, () => {
    const last = [...seen].map(([name, what]) => `${name}: ${what}`).join("; ") || "no answer";
    return metadataUnavailable(`${baseUrl} did not answer within ${deadlineMillis / 1000} s; last: ${last}`);
  });
  const read: ReadValue = async (name) =>
    (await readValue(name, { ...options, baseUrl, seen, signal: limit.signal }))?.text;
  return await parseIdentity(read);
}

/**
 * Reads one value below /computeMetadata/v1/; undefined if the server has no value with that name.
 * @throws KhwError METADATA_UNAVAILABLE if the server does not answer in time, or if its response does not look like
 * one from Google's server
 */
export async function readMetadata(name: string, options: MetadataOptions): Promise<string | undefined> {
  const { signal, baseUrl = "http://metadata.google.internal", deadlineMillis = 10_000 } = options;
  const seen = new Map<string, string>();
  using limit = deadline(signal, deadlineMillis, () => {
    const last = seen.get(name) ?? "no answer";
    return metadataUnavailable(`${baseUrl} did not return ${name} within ${deadlineMillis / 1000} s; last: ${last}`);
  });
  return (await readValue(name, { ...options, baseUrl, seen, signal: limit.signal }))?.text;
}

async function parseIdentity(read: ReadValue): Promise<Identity> {
  const required = async (name: string): Promise<string> =>
    (await read(name)) ?? refuse(name, "the metadata server has no such value");
  try {
    const [name, internalIp, zonePath, project, defaultRegion] = await Promise.all([
      required("instance/name"),
      required("instance/network-interfaces/0/ip"),
      required("instance/zone"),
      required("project/project-id"),
      read("project/attributes/google-compute-default-region"),
    ]);
    const zone = parseZone(zonePath);
    return {
      name: parseNodeName("instance/name", name),
      internalIp: parseIPv4("instance/network-interfaces/0/ip", internalIp),
      zone,
      region: parseRegion(defaultRegion ?? zone.slice(0, zone.lastIndexOf("-"))),
      project: parseProject(project),
    };
  } catch (error) {
    if (error instanceof KhwError && error.code === "INVALID_ARGUMENT") throw metadataUnavailable(error.message, error);
    throw error;
  }
}

function parseZone(path: string): string {
  const [, zone] = /^projects\/[^/]+\/zones\/([a-z]+-[a-z]+[0-9]+-[a-z])$/.exec(path) ?? [];
  return zone ?? refuse("instance/zone", `${show(path)} is not a zone`);
}

function parseRegion(region: string): string {
  if (!/^[a-z]+-[a-z]+[0-9]+$/.test(region)) refuse("google-compute-default-region", `${show(region)} is not a region`);
  return region;
}

/** Checks a project's ID. IDs from before 2011 contain a domain ("example.com:project"). */
function parseProject(project: string): string {
  if (!/^([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$/.test(project)) {
    refuse("project/project-id", `${show(project)} is not a project ID`);
  }
  return project;
}
