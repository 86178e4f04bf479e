import { createHash } from "node:crypto";
import { refuseLargeFile } from "../../proto/config-files.ts";
import type * as wire from "../../proto/gen/khw/agent/v1/agent.ts";
import { readNamedFile } from "./named-file.ts";
import type { ClusterConfig } from "./schema.ts";

/**
 * Returns the configuration files for the controllers, sorted by name.
 * @throws KhwError CONFIG_INVALID if a file cannot be read, INVALID_ARGUMENT if a file is too large
 */
export async function readConfigFiles({ files }: Pick<ClusterConfig, "files">): Promise<wire.ConfigFile[]> {
  const named = Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Promise.all(
    named.map(async ([name, path]) => {
      const content = await readNamedFile(`files.${name}`, path);
      refuseLargeFile(`files.${name}`, content.length);
      return toConfigFile(name, content);
    }),
  );
}

function toConfigFile(name: string, content: Buffer): wire.ConfigFile {
  return { name, sha256: createHash("sha256").update(content).digest("hex"), content };
}
