import { dirname, join } from "node:path";
import { configFile } from "../../../proto/config-files.ts";
import { KhwError } from "../../../proto/errors.ts";
import type * as wire from "../../../proto/gen/khw/agent/v1/agent.ts";
import { parseKubernetesVersion } from "../../../proto/kubernetes-versions.ts";
import type { Releases } from "../releases.ts";
import type { ClusterConfig, FlagChanges } from "../schema.ts";
import { checkAdmission, eventLimits } from "./admission.ts";
import { checkPluginFile } from "./admission-plugins.ts";
import { checkAuditPolicy, metadataPolicy } from "./audit-policy.ts";
import { refuseExclusive } from "./exclusive.ts";
import { oidcFiles } from "./oidc.ts";
import { type OwnFiles, ownFiles, toConfigFile, type WantedPlugin } from "./own-files.ts";
import { readNamedFile } from "./read.ts";
import { authenticationFiles, authorizationFiles } from "./structured.ts";

/** The configuration files for the controllers, and the API server's options that use them. */
export interface ConfigFiles {
  readonly files: readonly wire.ConfigFile[];
  readonly flags: FlagChanges;
  /** The admission plugins to switch on. */
  readonly plugins: readonly WantedPlugin[];
}

type Settings = Pick<
  ClusterConfig,
  "files" | "audit" | "authentication" | "oidc" | "authorization" | "admission" | "hardening" | "kubernetes"
>;

/** The cluster that reads the files. */
export interface FileUse {
  readonly releases: Pick<Releases, "kubernetes" | "emulated">;
  readonly publicAddress: string;
}

/**
 * Reads and checks all configuration files that khw.yaml names. Files are sorted by name.
 * @throws KhwError CONFIG_INVALID if a file cannot be read or contains an error, INVALID_ARGUMENT if a file is too
 * large
 */
export async function readConfigFiles(config: Settings, { releases, publicAddress }: FileUse): Promise<ConfigFiles> {
  const { minor } = parseKubernetesVersion("kubernetes.version", releases.kubernetes);
  // The feature gates are those of the emulated release.
  const behaviour =
    releases.emulated === undefined
      ? minor
      : parseKubernetesVersion("kubernetes.version", `v${releases.emulated}.0`).minor;
  refuseExclusive(config);
  const own = config.kubernetes.flags["kube-apiserver"];
  const ownIssuer = own["service-account-issuer"] ?? `https://${publicAddress}:6443`;
  const all = await Promise.all([
    auditPolicy(config, minor),
    admission(config, minor),
    oidcFiles(config.oidc, ownIssuer),
    authenticationFiles(config, { minor: behaviour, ownIssuer }),
    authorizationFiles(config, behaviour),
  ]);
  const used = all.filter((found) => found !== undefined).filter(({ flag }) => own[flag] === undefined);
  const named = Object.entries(config.files).map(([name, path]) => readFileAs(`files.${name}`, path, name));
  const files = [...(await Promise.all(named)), ...used.flatMap((one) => one.files)];
  refuseDoubles(files);
  return {
    files: files.toSorted((one, other) => (one.name < other.name ? -1 : 1)),
    flags: Object.assign({}, ...used.map(({ flags }) => flags)),
    plugins: used.flatMap(({ plugins = [] }) => plugins),
  };
}

async function auditPolicy({ audit: { policy } }: Settings, minor: number): Promise<OwnFiles | undefined> {
  if (policy === "none") return undefined;
  const setting = "audit.policy";
  const content = policy === "metadata" ? Buffer.from(metadataPolicy) : await readNamedFile(setting, policy);
  checkAuditPolicy(content.toString("utf8"), policy, minor);
  return ownFiles("audit-policy-file", toConfigFile(setting, "audit-policy.yaml", content));
}

async function admission({ admission, hardening }: Settings, minor: number): Promise<OwnFiles | undefined> {
  const { config } = admission;
  if (config === undefined && !hardening.eventLimits) return undefined;
  const setting = "admission.config";
  const content = config === undefined ? Buffer.from(eventLimits) : await readNamedFile(setting, config);
  const { plugins, files } = checkAdmission(content.toString("utf8"), config ?? setting, minor);
  const folder = dirname(config ?? "");
  const others = files.map(async ({ plugin, path }) => {
    const file = await readNamedFile(`${setting}: ${plugin}`, join(folder, path));
    checkPluginFile(plugin, { name: join(folder, path), content: file.toString("utf8") }, minor);
    return toConfigFile(setting, path, file);
  });
  const main = toConfigFile(setting, "admission.yaml", content);
  return {
    ...ownFiles("admission-control-config-file", main, await Promise.all(others)),
    plugins: plugins.map((plugin) => ({
      plugin,
      setting: config === undefined ? "hardening.eventLimits" : setting,
    })),
  };
}

async function readFileAs(setting: string, path: string, name: string): Promise<wire.ConfigFile> {
  return toConfigFile(setting, name, await readNamedFile(setting, path));
}

function refuseDoubles(files: readonly wire.ConfigFile[]): void {
  const double = files.find(({ name }, index) => files.findIndex((other) => other.name === name) !== index);
  if (double === undefined) return;
  throw new KhwError("CONFIG_INVALID", `two settings write the file ${configFile(double.name)}`, {
    hint: "rename one of the files in files, admission.config or authorization.config",
  });
}
