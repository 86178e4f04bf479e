import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";

/** A program of a release, and the digest that every download of the program must have. */
export interface LockEntry {
  /** The program's name, for example "kube-apiserver"; "etcd" means the archive of an etcd release. */
  readonly program: string;
  readonly version: string;
  readonly arch: string;
  readonly sha256: string;
  /** The place where the digest was first seen: a URL, or "already on NODE". */
  readonly source: string;
  /** Always empty; reserved for signatures of the release. */
  readonly signatures: readonly unknown[];
}

/** The version of the file's format. A client rejects any other version. */
const format = 1;

const shapes = {
  program: /^[a-z][a-z0-9-]{0,63}$/,
  version: /^v\d{1,3}\.\d{1,3}\.\d{1,3}(-[a-z]+\.\d{1,3})?$/,
  arch: /^[a-z0-9_]{1,16}$/,
  sha256: /^[0-9a-f]{64}$/,
  source: /^[^\p{C}]{1,4096}$/u,
} as const;

/** Describes the entry for messages: "kube-apiserver v1.21.0 (amd64)". */
export function describeProgram({ program, version, arch }: Pick<LockEntry, "program" | "version" | "arch">): string {
  return `${program} ${version} (${arch})`;
}

/** Whether the text can be an entry's source: one line, at most 4,096 characters. */
export function isSource(text: string): boolean {
  return shapes.source.test(text);
}

/** Parses the file's text. @throws KhwError CONFIG_INVALID that identifies the file and the entry */
export function parseLock(text: string, path: string): readonly LockEntry[] {
  const root = parseLockJson(text, path);
  if (!isRecord(root) || !Array.isArray(root["programs"])) return refuseEntry(path, "it is not a list of programs");
  if (root["version"] !== format) refuseEntry(path, `its version is ${show(String(root["version"]))}, not ${format}`);
  const entries = root["programs"].map((item: unknown, index) => parseEntry(item, `${path}: programs[${index}]`));
  const names = entries.map(describeProgram);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) refuseEntry(path, `it has ${twice} twice`);
  return entries;
}

/** Sorts the entries, so that equal entries result in the same text. */
export function formatLock(entries: readonly LockEntry[]): string {
  const key = (entry: LockEntry): string => `${entry.program}\n${entry.version}\n${entry.arch}`;
  const programs = entries.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
  return `${JSON.stringify({ version: format, programs }, null, 2)}\n`;
}

function parseLockJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return refuseEntry(path, `it is not JSON: ${reason}`);
  }
}

function parseEntry(item: unknown, where: string): LockEntry {
  if (!isRecord(item)) return refuseEntry(where, "it is not an entry");
  const text = (field: keyof typeof shapes): string => {
    const value = item[field];
    if (typeof value === "string" && shapes[field].test(value)) return value;
    return refuseEntry(where, `its ${field} is ${show(JSON.stringify(value) ?? "missing")}`);
  };
  const { signatures } = item;
  if (!Array.isArray(signatures)) return refuseEntry(where, "its signatures are not a list");
  const known = new Set([...Object.keys(shapes), "signatures"]);
  const stranger = Object.keys(item).find((field) => !known.has(field));
  if (stranger !== undefined)
    refuseEntry(where, `it has a field that this khw-client does not know: ${show(stranger)}`);
  return {
    program: text("program"),
    version: text("version"),
    arch: text("arch"),
    sha256: text("sha256"),
    source: text("source"),
    signatures,
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseEntry(where: string, why: string): never {
  throw new KhwError("CONFIG_INVALID", `${where} cannot be used: ${why}`, {
    hint: "restore the file from version control; without the file, bootstrap records the digests again",
  });
}
