import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type CredentialName, credentialSet } from "../../../proto/components.ts";
import type { Controller, Credential } from "../../../proto/desired.ts";
import { codeOf } from "../../../proto/errno.ts";
import { KhwError } from "../../../proto/errors.ts";
import { isCaRotating, type RotatedCa, rotatedCas } from "../rotation-folder.ts";
import { kmsOf } from "../../config/encryption.ts";
import { labReleases, type Releases } from "../../config/releases.ts";
import type { ClusterConfig } from "../../config/schema.ts";
import { checkCredentials, type CredentialFiles } from "./check.ts";
import { namedPaths, type NamedFiles } from "./kubeconfig.ts";
import { readCertificates } from "./pem.ts";
import { collect, type Problem, formatProblem } from "./problem.ts";

/** The server in the admin's kubeconfig, and the credentials in PEM. */
export interface AdminCredentials {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly server: string;
}

export interface Credentials {
  /** The files that the controllers need, with their contents, in the lab's order. */
  readonly credentials: readonly Credential[];
  readonly admin: AdminCredentials;
  /** Faults that do not keep the cluster from working. */
  readonly warnings: readonly Problem[];
}

/** The cluster that the credentials are for. */
export interface CredentialUse {
  readonly controllers: readonly Controller[];
  /** If undefined, the address is unknown and is not checked. */
  readonly publicAddress: string | undefined;
  /**
   * The releases that the files must work with. Default: the configured releases, or the releases of a new cluster if
   * no releases are configured.
   */
  readonly releases?: Releases;
}

const adminName = "admin.kubeconfig";

/** The credential files, and the problems that were found in them. */
export interface ExaminedCredentials {
  /** The problems. If none of them is an error, the cluster can use the files. */
  readonly problems: readonly Problem[];
  /** Undefined if the admin's kubeconfig cannot be read. */
  readonly admin: AdminCredentials | undefined;
  readonly files: CredentialFiles;
}

/**
 * Returns the credentials if they are valid for the cluster. Reads the files from this workstation, or from `made` if
 * they have not been written yet.
 * @throws KhwError CREDENTIAL_INVALID that lists every problem with its file and field, but never quotes a file's
 * contents
 */
export async function readCredentials(
  config: ClusterConfig,
  use: CredentialUse,
  made?: Readonly<Record<string, string>>,
): Promise<Credentials> {
  const { problems: all, admin, files } = await examineCredentials(config, use, made);
  const problems = all.filter(({ severity }) => severity === undefined);
  if (problems.length > 0 || admin === undefined) throw toError(config.credentials.folder, problems);
  const set = credentialSet({
    signing: files.has("signing-ca.pem"),
    aggregation: config.aggregation,
    etcdCa: files.has("etcd-ca.pem"),
  });
  const credentials = set.flatMap((name): Credential[] => {
    const content =
      name === "ca-bundle.pem" ? bundle(files) : name === "signing-ca.pem" ? signer(files) : files.get(name);
    return content === undefined ? [] : [{ name, sha256: createHash("sha256").update(content).digest("hex"), content }];
  });
  return { credentials, admin, warnings: all };
}

/** Like readCredentials, but returns all problems with the files instead of throwing an error. */
export async function examineCredentials(
  config: ClusterConfig,
  use: CredentialUse,
  made?: Readonly<Record<string, string>>,
): Promise<ExaminedCredentials> {
  const { folder, adminKubeconfig = join(folder, adminName) } = config.credentials;
  const find = async (name: CredentialName | typeof adminName, path = join(folder, name)): Promise<ReadCredentials> => {
    const content = made?.[name];
    return { name, found: content === undefined ? await readIfThere(path) : { content: Buffer.from(content) } };
  };
  const isThere = async (name: CredentialName): Promise<boolean> => "content" in (await find(name)).found;
  const parts = {
    signing: await isThere("signing-ca.pem"),
    aggregation: config.aggregation,
    etcdCa: config.pki.separateEtcdCa || (await isThere("etcd-ca.pem")),
  };
  const names = credentialSet(parts).filter((name) => name !== "ca-bundle.pem");
  const read = await Promise.all([...names.map(async (name) => find(name)), find(adminName, adminKubeconfig)]);
  const missing = read.flatMap(({ name, found }) => ("reason" in found ? [missingProblem(name, found.reason)] : []));
  const found = new Map(read.flatMap(({ name, found }) => ("reason" in found ? [] : [[name, found.content] as const])));
  const files: CredentialFiles = (await isCaRotating(folder)) ? withSigner(found) : found;
  const {
    cluster: { serviceCidr },
    kubernetes,
  } = config;
  const kubernetesVersion = use.releases?.kubernetes ?? kubernetes.version ?? labReleases.kubernetes;
  const named = await readNamed(adminKubeconfig, files.get(adminName));
  const rotating = await rotatingCas(folder);
  const cluster = { ...use, serviceCidr, kubernetesVersion, kms: kmsOf(config.encryption) };
  const { problems, result: admin } = collect(checkCredentials(files, cluster, { now: new Date(), named, rotating }));
  return { problems: [...missing, ...problems], admin, files };
}

async function rotatingCas(folder: string): Promise<RotatedCa[]> {
  const found = await Promise.all(rotatedCas.map(async (file) => ((await isCaRotating(folder, file)) ? [file] : [])));
  return found.flat();
}

/**
 * Reads the files that a kubeconfig refers to. Like kubectl, resolves relative paths against the kubeconfig's own
 * folder. Skips files that cannot be read.
 */
async function readNamed(path: string, content: Uint8Array | undefined): Promise<NamedFiles> {
  const named = new Map<string, Buffer>();
  for (const name of content === undefined ? [] : namedPaths(content)) {
    const found = await readIfThere(resolve(dirname(path), name));
    if ("content" in found) named.set(name, found.content);
  }
  return named;
}

type FoundFile = { readonly content: Buffer } | { readonly reason: string };

interface ReadCredentials {
  readonly name: CredentialName | typeof adminName;
  readonly found: FoundFile;
}

/**
 * Returns the contents of ca-bundle.pem: the certificates of the cluster's CA and of the signing CA. The credentials
 * folder lacks this file, because khw always builds it from the two certificates.
 */
function bundle(files: CredentialFiles): Buffer {
  const [own, signing] = (["ca.pem", "signing-ca.pem"] as const).map((name) =>
    Buffer.from(files.get(name) ?? "")
      .toString("utf8")
      .trimEnd(),
  );
  return Buffer.from(
    [own, ...(own?.includes(signing ?? "") === true ? [] : [signing])].map((text) => `${text}\n`).join(""),
  );
}

/**
 * While the cluster's CA is being replaced, ca.pem has several certificates, but the controller manager needs a file
 * with one certificate. If the cluster has no signing CA, adds the first certificate and its key under a signing CA's
 * file names.
 */
function withSigner(files: CredentialFiles): CredentialFiles {
  const [first, second] = readCertificates(files.get("ca.pem") ?? Buffer.of());
  const key = files.get("ca-key.pem");
  if (first === undefined || second === undefined || key === undefined || files.has("signing-ca.pem")) return files;
  return new Map([
    ...files,
    ["signing-ca.pem", Buffer.from(first.toString())] as const,
    ["signing-ca-key.pem", key] as const,
  ]);
}

/**
 * Returns the signing CA's certificate that is used for signing. While this CA is being replaced, its file has two
 * certificates, but the controller manager needs a file with one certificate.
 */
function signer(files: CredentialFiles): Uint8Array | undefined {
  const content = files.get("signing-ca.pem");
  const [first, second] = readCertificates(content ?? Buffer.of());
  return first === undefined || second === undefined ? content : Buffer.from(first.toString());
}

async function readIfThere(path: string): Promise<FoundFile> {
  try {
    return { content: await readFile(path) };
  } catch (error) {
    const code = codeOf(error);
    if (code === "") throw error;
    return { reason: code === "ENOENT" ? "is missing" : `cannot be read (${code})` };
  }
}

/** Prefixes of file names, each with the `pki create` option that creates these files. */
const createOptions = [
  ["front-proxy-", " --aggregation"],
  [
    "etcd-",
    " --separate-etcd-ca (only before the cluster runs; in a running cluster, run khw-client pki rotate-etcd-ca)",
  ],
] as const;

function missingProblem(file: string, what: string): Problem {
  const [, option] = createOptions.find(([prefix]) => file.startsWith(prefix)) ?? [];
  const create = `khw-client pki create${option ?? ""}`;
  const remedy =
    what === "is missing"
      ? `create missing files with ${create}, or ${file === adminName ? "specify its path with --admin-kubeconfig" : "specify its folder with --credentials"}`
      : "replace it with a file that you can read";
  return { file, what, remedy };
}

function toError(folder: string, problems: readonly Problem[]): KhwError {
  const where = `credentials in ${folder}`;
  const lines = problems.map(formatProblem);
  const [only] = problems;
  if (only !== undefined && problems.length === 1) {
    return new KhwError("CREDENTIAL_INVALID", `${where}: ${lines.join("")}`, { hint: only.remedy });
  }
  const told = lines.map((line, index) => `  ${line} (${problems[index]?.remedy ?? ""})`);
  return new KhwError("CREDENTIAL_INVALID", `${where}: ${problems.length} problems\n${told.join("\n")}`);
}
