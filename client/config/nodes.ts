import { oneLine } from "../../proto/sanitize.ts";
import { isIPv4, isIPv6 } from "node:net";
import { KhwError } from "../../proto/errors.ts";
import { parseNodeName, show } from "../../proto/validate.ts";

/** A controller as the user configures it. */
export interface NodeSpec {
  readonly name: string;
  /** The agent's host name or address; if absent, it comes from the Compute API. */
  readonly host?: string | undefined;
  readonly port: number;
  /** The controller's internal address; if absent, it comes from the Compute API or the agent. */
  readonly internalIp?: string | undefined;
}

export const agentPort = 7443;

/** No etcd cluster has more members than this, so a longer range must be a typo. */
const mostNodes = 99;

/** A part of the text and its position, for errors that point to it. */
interface Piece {
  readonly text: string;
  readonly start: number;
}

/**
 * Parses `controller-0,1,2`, `controller-{0..2}`, `controller-{0,2}`, full names and `name=host[:port]`, in order. A
 * number on its own uses the prefix of the previous name.
 * @throws KhwError INVALID_ARGUMENT that points to an empty, repeated or invalid part
 */
export function parseNodes(field: string, text: string): readonly NodeSpec[] {
  const nodes: NodeSpec[] = [];
  for (const item of splitOutsideBraces(text)) {
    const fail = (message: string, at: Piece = item, hint?: string): never => {
      throw new KhwError("INVALID_ARGUMENT", `${field}: ${message}\n${pointAt(text, at)}`, { hint });
    };
    if (item.text === "") fail("a name is missing here");
    const [pattern, address] = splitOnce(item, "=");
    const names = expand(pattern, fail).map((name) =>
      completeName(name, nodes.at(-1)?.name, () => fail(bareNumber(name))),
    );
    if (address !== undefined && names.length > 1) fail("the same address cannot belong to several nodes", address);
    const { host, port } = address === undefined ? { host: undefined, port: agentPort } : parseAddress(address, fail);
    for (const name of names) {
      if (nodes.length === mostNodes) fail(`more than ${mostNodes} nodes`);
      try {
        parseNodeName(field, name);
      } catch (error) {
        if (!(error instanceof KhwError)) throw error;
        fail(`${show(name)} is not a valid name for an instance`, pattern, error.hint);
      }
      const node: NodeSpec = { name, host, port };
      const double = findDouble(node, nodes);
      if (double !== undefined) fail(double);
      nodes.push(node);
    }
  }
  return nodes;
}

/** Parses a host name, an IPv4 address or an IPv6 address in brackets, with an optional port. */
export function parseHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const [, bracketed, plain, port = `${agentPort}`] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? "";
  const sound = bracketed === undefined ? isHostName(host) : isIPv6(host);
  return sound && isPort(Number(port)) ? { host, port: Number(port) } : undefined;
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/**
 * Describes a value that the node shares with another node, although the value must be unique; undefined if the node
 * shares no such value.
 */
export function findDouble(node: NodeSpec, others: readonly NodeSpec[]): string | undefined {
  if (others.some(({ name }) => name === node.name)) return `${show(node.name)} is repeated`;
  const { host, port, internalIp } = node;
  const sameAgent = others.find((other) => host !== undefined && other.host === host && other.port === port);
  if (sameAgent !== undefined) return `${node.name} has the address of ${sameAgent.name}`;
  const sameIp = others.find((other) => internalIp !== undefined && other.internalIp === internalIp);
  return sameIp === undefined ? undefined : `${node.name} has the internal address of ${sameIp.name}`;
}

type Fail = (message: string, at?: Piece, hint?: string) => never;

function splitOutsideBraces(text: string): Piece[] {
  return [...text.matchAll(/(?<=^|,)(?:\{[^}]*\}|[^,{]|\{)*/g)].map(({ 0: part, index }) => {
    const blanks = part.length - part.trimStart().length;
    return { text: part.trim(), start: index + blanks };
  });
}

function splitOnce(piece: Piece, separator: string): [Piece, Piece | undefined] {
  const index = piece.text.indexOf(separator);
  if (index === -1) return [piece, undefined];
  const after = { text: piece.text.slice(index + 1), start: piece.start + index + 1 };
  return [{ text: piece.text.slice(0, index), start: piece.start }, after];
}

/** Expands a pattern with at most one pair of braces into names. */
function expand(pattern: Piece, fail: Fail): readonly string[] {
  const [, before = "", inside, after = ""] = /^([^{}]*)\{([^{}]*)\}([^{}]*)$/.exec(pattern.text) ?? [];
  if (inside === undefined) return [pattern.text];
  const [, from, to] = /^(\d{1,4})\.\.(\d{1,4})$/.exec(inside) ?? [];
  if (from === undefined || to === undefined) return inside.split(",").map((part) => before + part.trim() + after);
  const count = Number(to) - Number(from) + 1;
  if (count < 1) fail(`the range ${inside} counts down`, pattern);
  if (count > mostNodes) fail(`the range ${inside} has more than ${mostNodes} nodes`, pattern);
  return Array.from({ length: count }, (_, index) => `${before}${Number(from) + index}${after}`);
}

function bareNumber(number: string): string {
  return `${number} is only a number, and no earlier name supplies its prefix`;
}

function completeName(name: string, previous: string | undefined, fail: () => never): string {
  if (!/^\d+$/.test(name)) return name;
  const [, prefix] = /^(.*\D)\d+$/.exec(previous ?? "") ?? [];
  return prefix === undefined ? fail() : prefix + name;
}

function parseAddress(address: Piece, fail: Fail): { readonly host: string; readonly port: number } {
  return parseHostPort(address.text) ?? fail(`${show(address.text)} is not a host, or host:port`, address);
}

const hostName = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/i;

function isHostName(text: string): boolean {
  // Text that looks like an IPv4 address must be a valid address: 10.240.0.300 is not a host name.
  return /^[\d.]+$/.test(text) ? isIPv4(text) : hostName.test(text);
}

/** Returns the text, and a line of carets below the part. Long text is shortened around the part. */
function pointAt(text: string, { start, text: piece }: Piece): string {
  const from = Math.max(0, Math.min(start - 30, text.length - 100));
  const shown = oneLine(text.slice(from, from + 100).replaceAll("\n", " "));
  const carets = "^".repeat(Math.max(1, Math.min(piece.length, from + 100 - start)));
  return `  ${shown}\n  ${" ".repeat(start - from)}${carets}`;
}
