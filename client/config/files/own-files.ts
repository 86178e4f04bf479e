import { createHash } from "node:crypto";
import { configFile, refuseLargeFile } from "../../../proto/config-files.ts";
import type * as wire from "../../../proto/gen/khw/agent/v1/agent.ts";
import type { FlagChanges } from "../schema.ts";

/** An admission plugin, and the setting that switches it on. */
export interface WantedPlugin {
  readonly plugin: string;
  readonly setting: string;
}

/** Files that belong together, and the API server's flags that use them. */
export interface OwnFiles {
  /**
   * If khw.yaml itself sets this flag, the flag from khw.yaml takes precedence, and `files` and `flags` are omitted.
   */
  readonly flag: string;
  readonly files: readonly wire.ConfigFile[];
  readonly flags: FlagChanges;
  /** The admission plugins to switch on. */
  readonly plugins?: readonly WantedPlugin[];
}

/** Returns the files, and the flag that names the first file. */
export function ownFiles(flag: string, main: wire.ConfigFile, others: readonly wire.ConfigFile[] = []): OwnFiles {
  return { flag, files: [main, ...others], flags: { [flag]: configFile(main.name) } };
}

export function toConfigFile(setting: string, name: string, content: Buffer): wire.ConfigFile {
  refuseLargeFile(setting, content.length);
  return { name, sha256: createHash("sha256").update(content).digest("hex"), content };
}
