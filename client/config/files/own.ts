import { createHash } from "node:crypto";
import { configFile, refuseLargeFile } from "../../../proto/config-files.ts";
import type * as wire from "../../../proto/gen/khw/agent/v1/agent.ts";
import { parseKubernetesVersion } from "../../../proto/kubernetes-versions.ts";
import type { ClusterConfig, FlagChanges } from "../schema.ts";
import { checkAuditPolicy, metadataPolicy } from "./audit-policy.ts";
import { readNamedFile } from "./read.ts";

/** The configuration files for the controllers, and the flags of the API server that use them. */
export interface ConfigFiles {
  readonly files: readonly wire.ConfigFile[];
  readonly flags: FlagChanges;
}

type Settings = Pick<ClusterConfig, "files" | "audit" | "kubernetes">;

/**
 * Reads and checks all configuration files that khw.yaml names. Files are sorted by name. If kubernetes.flags sets the
 * flag of a file, that flag takes precedence, and the file is left out.
 * @throws KhwError CONFIG_INVALID if a file cannot be read or contains an error, INVALID_ARGUMENT if it is too large
 */
export async function readConfigFiles(config: Settings, version: string): Promise<ConfigFiles> {
  const { minor } = parseKubernetesVersion("kubernetes.version", version);
  const own = [await auditPolicy(config, minor)].filter((found) => found !== undefined);
  const used = own.filter(({ flag }) => config.kubernetes.flags["kube-apiserver"][flag] === undefined);
  const named = Object.entries(config.files).map(async ([name, path]) =>
    toConfigFile(`files.${name}`, name, await readNamedFile(`files.${name}`, path)),
  );
  const files = [...(await Promise.all(named)), ...used.map(({ file }) => file)];
  return {
    files: files.toSorted((one, other) => (one.name < other.name ? -1 : 1)),
    flags: Object.fromEntries(used.map(({ flag, file }) => [flag, configFile(file.name)])),
  };
}

/** A file that a setting of its own names. */
interface OwnFile {
  readonly flag: string;
  readonly file: wire.ConfigFile;
}

async function auditPolicy({ audit: { policy } }: Settings, minor: number): Promise<OwnFile | undefined> {
  if (policy === "none") return undefined;
  const setting = "audit.policy";
  const content = policy === "metadata" ? Buffer.from(metadataPolicy) : await readNamedFile(setting, policy);
  checkAuditPolicy(content.toString("utf8"), policy, minor);
  return { flag: "audit-policy-file", file: toConfigFile(setting, "audit-policy.yaml", content) };
}

function toConfigFile(setting: string, name: string, content: Buffer): wire.ConfigFile {
  refuseLargeFile(setting, content.length);
  return { name, sha256: createHash("sha256").update(content).digest("hex"), content };
}
