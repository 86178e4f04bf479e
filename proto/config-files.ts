import { createHash } from "node:crypto";
import type * as wire from "./gen/khw/agent/v1/agent.ts";
import { parseSha256, refuse, show } from "./validate.ts";

/** The folder on a controller that holds the configuration files of the components. */
export const configFolder = "/etc/kubernetes/config";

/** A configuration file that is named in khw.yaml. */
export interface ConfigFile {
  /** The file's name in the configuration folder. */
  readonly name: string;
  readonly sha256: string;
  /** The content; absent if the desired state is only planned. */
  readonly content?: Uint8Array | undefined;
}

/** The limits for one file, for all files together, and for the number of files. */
export const maxFileBytes = 256 * 1024;
const maxTotalBytes = 1024 * 1024;
const maxFiles = 64;

/** The names of files that khw itself writes into the folder. */
const reserved: ReadonlySet<string> = new Set(["kube-scheduler.yaml"]);

/** The files that the client generates from dedicated settings. */
const ofSettings: ReadonlyMap<string, string> = new Map([
  ["audit-policy.yaml", "audit.policy"],
  ["admission.yaml", "admission.config"],
]);

/** Parses the name of a file in khw.yaml, which must not be the name of a file that another setting generates. */
export function parseOwnFileName(field: string, name: string): string {
  const setting = ofSettings.get(name);
  if (setting !== undefined) refuse(field, `the setting ${setting} writes this file`, "choose another name");
  return parseConfigFileName(field, name);
}

/** Returns the file's path on a controller, for use in a flag. */
export function configFile(name: string): string {
  return `${configFolder}/${name}`;
}

/** Parses a file's name. The name must be safe in a path and in a shell's command line. */
export function parseConfigFileName(field: string, name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) {
    refuse(
      field,
      `${show(name)} cannot be the name of a file in ${configFolder}`,
      "use at most 100 letters, digits, dots, hyphens and underscores, and start with a letter or a digit",
    );
  }
  if (reserved.has(name)) {
    refuse(field, `khw itself writes ${configFile(name)}`, "choose another name");
  }
  return name;
}

/** Rejects content that is larger than a configuration file may be. */
export function refuseLargeFile(field: string, bytes: number): void {
  if (bytes > maxFileBytes) refuse(field, `the file has ${bytes} bytes; khw accepts at most ${maxFileBytes}`);
}

/** @throws KhwError INVALID_ARGUMENT */
export function parseConfigFiles(files: readonly wire.ConfigFile[]): ConfigFile[] {
  if (files.length > maxFiles) refuse("files", `there are ${files.length} files; khw accepts at most ${maxFiles}`);
  const parsed = files.map(parseConfigFile);
  const double = parsed.find(({ name }, index) => parsed.findIndex((other) => other.name === name) !== index);
  if (double !== undefined) refuse("files", `${show(double.name)} is listed twice`);
  const total = parsed.reduce((sum, { content }) => sum + (content?.length ?? 0), 0);
  if (total > maxTotalBytes)
    refuse("files", `all files together have ${total} bytes; khw accepts at most ${maxTotalBytes}`);
  return parsed.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

function parseConfigFile({ name, sha256, content }: wire.ConfigFile): ConfigFile {
  parseConfigFileName("files", name);
  parseSha256(`files.${name}`, sha256);
  if (content !== undefined) {
    refuseLargeFile(`files.${name}`, content.length);
    if (createHash("sha256").update(content).digest("hex") !== sha256) {
      refuse(`files.${name}`, "the content does not match its digest");
    }
  }
  return { name, sha256, content };
}
