import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { parseNodeName, show } from "../../proto/validate.ts";
import { projectId } from "./domain.ts";
import { parseProperties, type Properties } from "./gcloud-properties.ts";
import type { PlaceKey as Key } from "./place.ts";
import type { ClusterConfig } from "./schema.ts";

type Environment = Readonly<Record<string, string | undefined>>;

interface FoundValue {
  readonly value?: string | undefined;
  readonly from?: string;
  readonly problem?: KhwError;
}

const parsers: Readonly<Record<Key, (field: string, text: string) => string>> = {
  project: projectId,
  region: (field, text) => parseNodeName(field, text, "a region's name"),
  zone: (field, text) => parseNodeName(field, text, "a zone's name"),
};
const sections: Readonly<Record<Key, "core" | "compute">> = { project: "core", region: "compute", zone: "compute" };

/**
 * Adds project, region and zone if neither khw.yaml nor a flag sets them. The sources are tried in gcloud's order: its
 * environment variables, then its active configuration. GOOGLE_CLOUD_PROJECT comes last, because gcloud does not read
 * it.
 */
export async function withGcloudDefaults(config: ClusterConfig, env: Environment): Promise<ClusterConfig> {
  const { gce } = config;
  if (gce.project !== undefined && gce.region !== undefined && gce.zone !== undefined) return config;
  const active = await activeConfiguration(env);
  const look = (key: Key): FoundValue => {
    const own = gce[key];
    return own === undefined ? findValue(key, active, env) : { value: own, from: `gce.${key}` };
  };
  const zone = look("zone");
  const project = orApplicationsProject(look("project"), env);
  const region = orZonesRegion(look("region"), zone);
  const found = { project, region, zone };
  return {
    ...config,
    gce: { ...gce, project: project.value, region: region.value, zone: zone.value },
    place: {
      from: collectKeys(found, ({ from }) => from),
      problems: collectKeys(found, ({ problem }) => problem),
      contradiction: contradictionOf(project, env),
    },
  };
}

/** Looks up a value in the order that gcloud uses. */
function findValue(key: Key, { name, properties, problem }: ActiveConfiguration, env: Environment): FoundValue {
  const variable = `CLOUDSDK_${sections[key]}_${key}`.toUpperCase();
  const fromEnv = given(env[variable]);
  if (fromEnv !== undefined) return checked(key, fromEnv, variable);
  if (problem !== undefined) return { problem };
  const value = given(properties?.get(`${sections[key]}/${key}`));
  return value === undefined ? {} : checked(key, value, `gcloud's configuration ${name}`);
}

function checked(key: Key, text: string, from: string): FoundValue {
  try {
    return { value: parsers[key](`${key} of ${from}`, text), from };
  } catch (error) {
    if (!(error instanceof KhwError)) throw error;
    return { problem: new KhwError("CONFIG_INVALID", error.message, { hint: error.hint, cause: error }) };
  }
}

/** If gcloud's configuration cannot be read, khw must not use a different project. */
function orApplicationsProject(project: FoundValue, env: Environment): FoundValue {
  const applications = given(env["GOOGLE_CLOUD_PROJECT"]);
  if (project.value !== undefined || project.problem !== undefined || applications === undefined) return project;
  return checked("project", applications, "GOOGLE_CLOUD_PROJECT");
}

function orZonesRegion(region: FoundValue, zone: FoundValue): FoundValue {
  if (region.value !== undefined || zone.value === undefined || region.problem !== undefined) return region;
  return { value: zone.value.replace(/-[a-z]$/, ""), from: `the zone of ${zone.from}` };
}

function contradictionOf({ value, from }: FoundValue, env: Environment): string | undefined {
  const applications = given(env["GOOGLE_CLOUD_PROJECT"]);
  if (applications === undefined || value === undefined || applications === value || from === "gce.project") {
    return undefined;
  }
  return `the project is ${value} (${from}); GOOGLE_CLOUD_PROJECT is ${show(applications)}, but gcloud ignores it. Use --project to choose`;
}

function collectKeys<T>(found: Readonly<Record<Key, FoundValue>>, get: (found: FoundValue) => T | undefined) {
  return Object.fromEntries(
    Object.entries(found).flatMap(([key, value]) => {
      const wanted = get(value);
      return wanted === undefined ? [] : [[key, wanted]];
    }),
  );
}

interface ActiveConfiguration {
  readonly name: string;
  readonly properties?: Properties;
  /** The reason why the configuration cannot be read. */
  readonly problem?: KhwError;
}

/** Reads gcloud's active configuration, which has no properties if gcloud has never been set up. */
async function activeConfiguration(env: Environment): Promise<ActiveConfiguration> {
  const folder = given(env["CLOUDSDK_CONFIG"]) ?? join(given(env["HOME"]) ?? homedir(), ".config", "gcloud");
  const activeFile = join(folder, "active_config");
  const variable = "CLOUDSDK_ACTIVE_CONFIG_NAME";
  const fromEnv = given(env[variable]);
  let name = fromEnv ?? "default";
  try {
    const fromFile = fromEnv === undefined ? given((await readIfPresent(activeFile))?.trim()) : undefined;
    name = fromEnv ?? fromFile ?? "default";
    // The name that gcloud uses for "no configuration".
    if (name === "NONE") return { name };
    // The name is checked because it becomes part of a path. gcloud does not allow other names either.
    const path = join(folder, "configurations", `config_${name}`);
    const text = /^[a-z][-a-z0-9]*$/.test(name) ? await readIfPresent(path) : undefined;
    if (text !== undefined) return { name, properties: parseProperties(text, path) };
    const namedBy = fromEnv === undefined ? (fromFile === undefined ? undefined : activeFile) : variable;
    return namedBy === undefined || (name === "default" && fromEnv === undefined)
      ? { name }
      : { name, problem: missing(name, namedBy) };
  } catch (error) {
    return { name, problem: error instanceof KhwError ? error : gcloudError(error) };
  }
}

function missing(name: string, namedBy: string): KhwError {
  return new KhwError(
    "CONFIG_INVALID",
    `${namedBy} selects the gcloud configuration ${show(name)}, which does not exist`,
    {
      hint: "use --project and --region, or a name from `gcloud config configurations list`",
    },
  );
}

function gcloudError(error: unknown): KhwError {
  const why = error instanceof Error ? error.message : String(error);
  return new KhwError("CONFIG_INVALID", `gcloud's configuration cannot be read: ${why}`, {
    hint: "make the file readable, or use --project and --region",
    cause: error,
  });
}

function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
