import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { isAbsolute } from "node:path";
import { isErrno } from "../proto/errno.ts";
import { KhwError } from "../proto/errors.ts";
import { parseIPv4, parseNodeName, show } from "../proto/validate.ts";

/** The agent's own configuration file, /etc/khw-agent/config.yaml. Every key is optional. */
export interface AgentConfig {
  readonly listen: { readonly host: string; readonly port: number };
  readonly identity: { readonly ca: string; readonly certificate: string; readonly key: string };
  /** The machine's name and address, for machines without a metadata server. Set both or neither. */
  readonly machine: { readonly name: string; readonly internalIp: string } | undefined;
  readonly metadataUrl: string;
  /** The address of Cloud Storage, for uploads of etcd snapshots. */
  readonly storageUrl: string;
  readonly stateFolder: string;
  readonly supervision: Supervision;
  /** The port on 127.0.0.1 that serves the Prometheus metrics; 0 disables them. */
  readonly metricsPort: number;
}

/** The intervals of the agent's automatic checks, in milliseconds. */
export interface Supervision {
  /** The interval between two probes of a component. */
  readonly probeMillis: number;
  /** The interval between two checks of all steps. A change to a watched file triggers an earlier check. */
  readonly reconcileMillis: number;
}

const shape = {
  listen: ["host", "port"],
  identity: ["ca", "certificate", "key"],
  machine: ["name", "internalIp"],
  metadataUrl: [],
  storageUrl: [],
  stateFolder: [],
  supervision: ["probeSeconds", "reconcileSeconds"],
  metricsPort: [],
} as const satisfies Record<keyof AgentConfig, readonly string[]>;

/**
 * Reads the configuration. If the file is missing, returns the defaults.
 * @throws KhwError CONFIG_INVALID with the file, the key and a remedy
 */
export async function loadConfig(path: string): Promise<AgentConfig> {
  const parseText = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (isErrno(error, "ENOENT")) return "";
    throw new KhwError("CONFIG_INVALID", `${path}: ${error.message}`, { cause: error });
  });
  const { parse, YAMLParseError } = await import("yaml");
  try {
    return parseConfig(parse(parseText));
  } catch (error) {
    if (error instanceof YAMLParseError)
      throw new KhwError("CONFIG_INVALID", `${path}: ${error.message}`, { cause: error });
    if (error instanceof KhwError)
      throw new KhwError("CONFIG_INVALID", `${path}: ${error.message}`, { hint: error.hint, cause: error });
    throw error;
  }
}

function parseConfig(value: unknown): AgentConfig {
  const root = section("", value, Object.keys(shape));
  const { listen, identity, machine, supervision } = {
    listen: section("listen", root["listen"], shape.listen),
    identity: section("identity", root["identity"], shape.identity),
    machine: section("machine", root["machine"], shape.machine),
    supervision: section("supervision", root["supervision"], shape.supervision),
  };
  const host = parseText("listen.host", listen["host"], "0.0.0.0");
  if (isIP(host) === 0) refuseSetting("listen.host", `${show(host)} is not an IP address`);
  return {
    listen: { host, port: port("listen.port", listen["port"], 7443) },
    identity: {
      ca: path("identity.ca", identity["ca"], "/etc/khw-agent/pki/ca.pem"),
      certificate: path("identity.certificate", identity["certificate"], "/etc/khw-agent/pki/agent.pem"),
      key: path("identity.key", identity["key"], "/etc/khw-agent/pki/agent-key.pem"),
    },
    machine:
      Object.keys(machine).length === 0
        ? undefined
        : {
            name: parseNodeName("machine.name", parseText("machine.name", machine["name"])),
            internalIp: parseIPv4("machine.internalIp", parseText("machine.internalIp", machine["internalIp"])),
          },
    metadataUrl: url("metadataUrl", root["metadataUrl"], "http://metadata.google.internal"),
    storageUrl: url("storageUrl", root["storageUrl"], "https://storage.googleapis.com"),
    stateFolder: path("stateFolder", root["stateFolder"], "/var/lib/khw-agent"),
    supervision: {
      probeMillis: seconds("supervision.probeSeconds", supervision["probeSeconds"], 5) * 1000,
      reconcileMillis: seconds("supervision.reconcileSeconds", supervision["reconcileSeconds"], 60) * 1000,
    },
    metricsPort: root["metricsPort"] === 0 ? 0 : port("metricsPort", root["metricsPort"], 7444),
  };
}

function section(place: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) refuseSetting(place || "the file", "is not a mapping");
  const entries = Object.entries(value);
  const unknown = entries.find(([key]) => !known.includes(key));
  if (unknown !== undefined)
    refuseSetting(
      place === "" ? unknown[0] : `${place}.${unknown[0]}`,
      `is not a known key; the keys are ${known.join(", ")}`,
    );
  return Object.fromEntries(entries);
}

function parseText(place: string, value: unknown, fallback?: string): string {
  if (value === undefined && fallback !== undefined) return fallback;
  return typeof value === "string" && value !== ""
    ? value
    : refuseSetting(place, value === undefined ? "is missing" : "is not a string");
}

function path(place: string, value: unknown, fallback: string): string {
  const given = parseText(place, value, fallback);
  return isAbsolute(given) ? given : refuseSetting(place, `${show(given)} is not an absolute path`);
}

function url(place: string, value: unknown, fallback: string): string {
  const given = parseText(place, value, fallback);
  return /^https?:$/.test(URL.parse(given)?.protocol ?? "")
    ? given.replace(/\/+$/, "")
    : refuseSetting(place, `${show(given)} is not an http or https URL`);
}

function port(place: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 65_536
    ? value
    : refuseSetting(place, "is not a port");
}

function seconds(place: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  return typeof value === "number" && value >= 0.05 && value <= 86_400
    ? value
    : refuseSetting(place, "is not a number of seconds from 0.05 to 86400");
}

function refuseSetting(place: string, message: string): never {
  throw new KhwError("CONFIG_INVALID", `${place}: ${message}`, { hint: "see `man khw-agent` for all keys" });
}
