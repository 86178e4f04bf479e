import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ClusterConfig } from "./schema.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The configuration with the project, region and zone of gcloud where none was given: from its environment variables, then
 * from the file of its active configuration. The lab's commands take them from there too.
 */
export async function withGcloudDefaults(config: ClusterConfig, env: Environment): Promise<ClusterConfig> {
  const { gce } = config;
  if (gce.project !== undefined && gce.region !== undefined && gce.zone !== undefined) return config;
  const properties = await activeProperties(env);
  const zone = gce.zone ?? given(env["CLOUDSDK_COMPUTE_ZONE"]) ?? properties.get("compute/zone");
  return {
    ...config,
    gce: {
      ...gce,
      project:
        gce.project ??
        given(env["CLOUDSDK_CORE_PROJECT"]) ??
        given(env["GOOGLE_CLOUD_PROJECT"]) ??
        properties.get("core/project"),
      region:
        gce.region ??
        given(env["CLOUDSDK_COMPUTE_REGION"]) ??
        properties.get("compute/region") ??
        zone?.replace(/-[a-z]$/, ""),
      zone,
    },
  };
}

/** Properties as "section/name"; none where gcloud was never set up. */
async function activeProperties(env: Environment): Promise<ReadonlyMap<string, string>> {
  const folder = given(env["CLOUDSDK_CONFIG"]) ?? join(given(env["HOME"]) ?? homedir(), ".config", "gcloud");
  const active = given(env["CLOUDSDK_ACTIVE_CONFIG_NAME"]) ?? (await read(join(folder, "active_config"))) ?? "default";
  const name = active.trim();
  // Names as gcloud allows them: nothing else may become part of a path.
  if (!/^[a-z][-a-z0-9]*$/.test(name)) return new Map();
  return parseProperties((await read(join(folder, "configurations", `config_${name}`))) ?? "");
}

function parseProperties(ini: string): ReadonlyMap<string, string> {
  const properties = new Map<string, string>();
  let section = "";
  for (const line of ini.split("\n")) {
    const [, header] = /^\s*\[([a-z_]+)\]\s*$/.exec(line) ?? [];
    const [, name, value] = /^\s*([a-z_]+)\s*=\s*(\S+)\s*$/.exec(line) ?? [];
    if (header !== undefined) section = header;
    if (name !== undefined && value !== undefined) properties.set(`${section}/${name}`, value);
  }
  return properties;
}

function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
