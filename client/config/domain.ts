import { programs } from "../../proto/components.ts";
import { parseIPv4, parseMirror, parseNodeName, parseUrl, refuse, show } from "../../proto/validate.ts";
import { agentPort, findDouble, isPort, type NodeSpec, parseHostPort, parseNodes } from "./nodes.ts";
import { checked, entriesOf, path, refuseUnknown, text } from "./parsers.ts";
import { refuseAt, type Value } from "./value.ts";

export const httpUrl = checked((field, url) => parseUrl(field, url, ["https:", "http:"]));

/**
 * Parses the nodes: a shorthand such as controller-0,1, or a list of shorthands and maps {name, host, port,
 * internalIp}.
 */
export function nodes(value: Value): readonly NodeSpec[] {
  const items = value.kind === "list" ? value.items : [value];
  const found: NodeSpec[] = [];
  for (const item of items) {
    const some = item.kind === "map" ? [nodeFromMap(item)] : shorthand(item);
    for (const node of some) {
      const double = findDouble(node, found);
      if (double !== undefined) refuseAt(item.origin, double);
      found.push(node);
    }
  }
  return found;
}

/** Returns the nodes given on the command line. khw.yaml supplies the details that the command line lacks. */
export function mergeNodes(fromFile: readonly NodeSpec[], fromFlag: readonly NodeSpec[]): readonly NodeSpec[] {
  return fromFlag.map((node) => {
    const known = fromFile.find(({ name }) => name === node.name);
    return node.host === undefined ? (known ?? node) : { ...node, internalIp: known?.internalIp };
  });
}

function shorthand(value: Value): readonly NodeSpec[] {
  return checked(parseNodes)(value);
}

function nodeFromMap(value: Value): NodeSpec {
  const entries = entriesOf(value);
  refuseUnknown(entries, ["name", "host", "port", "internalIp"]);
  const get = <T>(key: string, validate: (field: string, text: string) => T): T | undefined => {
    const entry = entries.find((candidate) => candidate.key === key);
    return entry === undefined ? undefined : checked(validate)(entry.value);
  };
  return {
    name: get("name", parseNodeName) ?? refuseAt(value.origin, "a node needs a name"),
    host: get("host", hostAlone),
    port: get("port", port) ?? agentPort,
    internalIp: get("internalIp", parseIPv4),
  };
}

function hostAlone(field: string, host: string): string {
  const bracketed = host.includes(":") ? `[${host}]` : host;
  return parseHostPort(bracketed)?.host ?? refuse(field, `${show(host)} is not a host name or an address`);
}

function port(field: string, digits: string): number {
  if (!/^\d{1,5}$/.test(digits) || !isPort(Number(digits))) refuse(field, `${show(digits)} is not a port`);
  return Number(digits);
}

export const mirror = checked(parseMirror);

export function programName(field: string, name: string): string {
  return (
    programs.find((program) => program === name) ??
    refuse(field, `${show(name)} is not a program that khw installs`, `use one of ${programs.join(", ")}`)
  );
}

/** Checks a project's id, which may begin with a domain and a colon. */
export function projectId(field: string, id: string): string {
  if (!/^([a-z0-9.-]{1,60}:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$/.test(id)) refuse(field, `${show(id)} is not a project id`);
  return id;
}

/**
 * Parses the source of the credentials for the Compute API: auto, gcloud, none, or the absolute path of a key file.
 */
export function authentication(value: Value): string {
  return ["auto", "gcloud", "none"].includes(text(value)) ? text(value) : path(value);
}
