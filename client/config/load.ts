import { open } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { cidrsOverlap, parseCidr } from "../../proto/validate.ts";
import { kmsOf } from "./encryption.ts";
import { withGcloudDefaults } from "./gcloud.ts";
import { refuseForeign } from "./ownership.ts";
import { entriesOf, refuseUnknown } from "./parsers.ts";
import { type ClusterConfig, schema } from "./schema.ts";
import { type Group, isGroup, type Setting } from "./setting.ts";
import { type Data, joinErrors, type Origin, toValue, type Value } from "./value.ts";

export interface ConfigSources {
  /** The file given with --config; if absent, khw.yaml in the current folder, which need not exist. */
  readonly file?: string | undefined;
  /** The values given on the command line, by flag ("--nodes"). */
  readonly flags: ReadonlyMap<string, Data>;
  /** The current folder. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Returns the configuration. Flags override khw.yaml, and khw.yaml overrides the defaults. gcloud's settings supply
 * only a missing project, region or zone.
 * @throws KhwError CONFIG_INVALID or INVALID_ARGUMENT that lists every error with its line or flag
 */
export async function loadConfig(sources: ConfigSources): Promise<ClusterConfig> {
  const written = await readConfigFile(sources);
  return withGcloudDefaults(parseConfig(written, sources), sources.env);
}

/** Returns the configuration without reading any more files. */
export function parseConfig(written: Value, { flags, folder }: Pick<ConfigSources, "flags" | "folder">): ClusterConfig {
  const errors: KhwError[] = [];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof KhwError)) throw error;
      errors.push(error);
      return undefined;
    }
  };

  // The profile determines the defaults of other settings, so the profile is read first. It is validated together with
  // the other settings.
  const production = (flags.get(schema.keys.profile.flag.name) ?? profileIn(written)) === "production";
  const readGroup = (group: Group, value: Value): Record<string, unknown> => {
    const entries = value.kind === "empty" ? [] : (attempt(() => entriesOf(value)) ?? []);
    attempt(() => refuseUnknown(entries, Object.keys(group.keys)));
    return Object.fromEntries(
      Object.entries(group.keys).map(([key, member]) => {
        const inner = entries.find((entry) => entry.key === key)?.value ?? { kind: "empty", origin: value.origin };
        return [key, isGroup(member) ? readGroup(member, inner) : attempt(() => readSetting(member, inner))];
      }),
    );
  };

  const readSetting = (setting: Setting<unknown>, value: Value): unknown => {
    const byDefault = production && setting.production !== undefined ? setting.production : setting.default;
    const base = setting.parse(value.kind === "empty" ? toValue(byDefault, value.origin) : value);
    const given = flags.get(setting.flag.name);
    if (given === undefined) return base;
    const fromFlag = setting.parse(toValue(given, flagOrigin(setting.flag.name, folder)));
    return setting.merge === undefined ? fromFlag : setting.merge(base, fromFlag);
  };

  const config = readGroup(schema, written);
  if (errors.length > 0) throw joinErrors(errors);
  const lockFile = join(written.origin.folder, "khw.lock");
  // oxlint-disable-next-line no-unsafe-type-assertion -- the type is derived from the schema that was just walked
  return refusePartialKms(refuseTwoEtcds(refuseOverlap({ ...config, lockFile } as unknown as ClusterConfig)));
}

function profileIn(written: Value): string | undefined {
  const entries = written.kind === "map" ? written.entries : [];
  const value = entries.find(({ key }) => key === "profile")?.value;
  return value?.kind === "text" ? value.text : undefined;
}

async function readConfigFile({ file, folder, env }: ConfigSources): Promise<Value> {
  const name = file ?? "khw.yaml";
  const path = resolve(folder, name);
  try {
    // Checks the open file, so that nobody can replace the file between the check and the read. For a link, checks the
    // target.
    await using handle = await open(path);
    const found = await handle.stat();
    refuseForeign(path, found, { uid: process.getuid?.(), env });
    const text = await handle.readFile("utf8");
    const { parseYaml } = await import("./yaml.ts");
    // Standard input (/dev/stdin) has no folder.
    return parseYaml(text, { name, folder: found.isFile() ? dirname(path) : folder });
  } catch (error) {
    if (error instanceof KhwError) throw error;
    if (file === undefined && isErrno(error, "ENOENT")) {
      return { kind: "empty", origin: { label: "defaults", code: "CONFIG_INVALID", folder } };
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new KhwError("CONFIG_INVALID", `${name} cannot be read: ${reason}`, { cause: error });
  }
}

function flagOrigin(flag: string, folder: string): Origin {
  return { label: flag, code: "INVALID_ARGUMENT", folder };
}

function refuseOverlap(config: ClusterConfig): ClusterConfig {
  const { serviceCidr, clusterCidr } = config.cluster;
  if (cidrsOverlap(parseCidr("serviceCidr", serviceCidr), parseCidr("clusterCidr", clusterCidr))) {
    throw new KhwError(
      "CONFIG_INVALID",
      `cluster.serviceCidr ${serviceCidr} overlaps cluster.clusterCidr ${clusterCidr}`,
      {
        hint: "choose separate networks for services and pods",
      },
    );
  }
  return config;
}

function refusePartialKms(config: ClusterConfig): ClusterConfig {
  kmsOf(config.encryption);
  return config;
}

function refuseTwoEtcds(config: ClusterConfig): ClusterConfig {
  if (config.etcd.mode === "managed" && config.cluster.etcdServers !== undefined) {
    throw new KhwError("CONFIG_INVALID", "etcd.mode is managed, but cluster.etcdServers specifies an external etcd", {
      hint: "remove one of the two settings",
    });
  }
  return config;
}
