import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { Member } from "../cluster/open.ts";
import { clusterPki, workersOf } from "../config/cluster-pki.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { clusterFiles, createMissing } from "../pki/cluster/create.ts";
import { readPresent, replaceFiles, writeNew } from "../pki/cluster/folder.ts";
import { renewLeaves } from "../pki/cluster/renew.ts";
import { presentNames } from "../pki/cluster/rollable.ts";
import { completeFolder, type NewFiles } from "../pki/folder.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import type { Addresses } from "./addresses.ts";

export interface ProvideOptions {
  readonly addresses: Addresses;
  /** The nodes, with their answers about an existing cluster. */
  readonly members: readonly Member[];
  /** Whether to finish writing the files that a killed command had started to write. */
  readonly complete: boolean;
}

/**
 * If the folder has none of the files of labs 04 to 06, returns the contents of all these files without writing them.
 * Returns undefined if the folder has some of these files, or if the administrator's kubeconfig comes from elsewhere.
 * In these cases, khw completes the files only on request.
 * @throws KhwError CREDENTIAL_INVALID if khw has set up the nodes before, because their cluster's files must exist
 * somewhere
 */
export async function provideCredentials(
  config: ClusterConfig,
  { addresses, members, complete }: ProvideOptions,
): Promise<NewFiles | undefined> {
  const { folder, adminKubeconfig } = config.credentials;
  if (complete) await completeFolder(folder);
  if (adminKubeconfig !== undefined) return undefined;
  const workers = workersOf(config.pki.workers);
  const names = clusterFiles({ workers, separateSigningCa: true, separateEtcdCa: true, aggregation: true });
  if ((await readPresent(folder, names)).size > 0) return undefined;
  const worked = members.find(({ info }) => info?.operation !== undefined);
  if (worked !== undefined) {
    const name = worked.node.address.name;
    throw new KhwError(
      "CREDENTIAL_INVALID",
      `credentials in ${folder}: the folder has no files, but ${name} was set up with credentials`,
      {
        hint: "specify their folder with --credentials; for a new cluster on these machines, create new files with khw-client pki create",
      },
    );
  }
  return createMissing(new Map(), clusterPki(config, addresses), new Date());
}

/**
 * Reissues the servers' certificates and keys for the addresses of new controllers. The certificates are kubernetes.pem
 * and, if etcd has its own CA, etcd-server.pem. Returns the files without writing them. Returns no files if the
 * certificates already contain all addresses. Also returns no files if the folder lacks a CA's key. In that case, the
 * later check of the credentials reports the problem.
 * @throws KhwError CREDENTIAL_INVALID if the CA cannot sign
 */
export async function reissueForNewNodes(config: ClusterConfig, addresses: Addresses): Promise<NewFiles> {
  const workers = workersOf(config.pki.workers);
  const present = await readPresent(
    config.credentials.folder,
    clusterFiles({ ...config.pki, workers, aggregation: config.aggregation, separateEtcdCa: true }),
  );
  const servers = [
    { name: "kubernetes", authority: "ca" },
    ...(present.has("etcd-server.pem") ? [{ name: "etcd-server", authority: "etcd-ca" }] : []),
  ];
  const outdated = servers.filter(({ name }) => {
    const names = presentNames(present, `${name}.pem`);
    return !addresses.controllers.every(({ internalIp }) => names.includes(internalIp));
  });
  if (outdated.length === 0 || outdated.some(({ authority }) => !present.has(`${authority}-key.pem`))) return {};
  const names = outdated.map(({ name }) => name);
  return renewLeaves(present, names, { pki: clusterPki(config, addresses), now: new Date() });
}

/**
 * Saves the new credentials, if there are any. Must be called after every check that could stop the command, and before
 * any node receives the credentials.
 * @throws KhwError BUSY if another command saved credentials in the meantime
 */
export async function saveNewCredentials(
  { made, reissued }: { readonly made: NewFiles; readonly reissued: NewFiles },
  { credentials: { folder }, pki }: ClusterConfig,
  { progress }: Pick<ProgressOptions, "progress">,
): Promise<void> {
  if (Object.keys(reissued).length > 0) {
    const kept = await replaceFiles(folder, reissued, new Date());
    const names = Object.keys(reissued).filter((name) => !name.endsWith("-key.pem"));
    const verb = names.length === 1 ? "is" : "are";
    const what = `${names.join(" and ")} ${verb} reissued with the new controllers' addresses`;
    note(progress, `${what}; the old files are kept in ${kept}`);
  }
  const count = Object.keys(made).length;
  if (count === 0) return;
  await writeNew(folder, made).catch((thrown: unknown) => {
    const error = toKhwError(thrown);
    if (error.code !== "INVALID_ARGUMENT") throw error;
    // The folder had no credentials when this command started, so another command has created them.
    throw new KhwError("BUSY", error.message, {
      hint: "another command created it at the same time; run the command again to use the existing files",
      cause: error,
    });
  });
  const saved = `created the cluster's certificates, kubeconfigs and encryption key: ${count} files in ${folder}. Back them up, and keep them safe`;
  note(progress, pki.separateSigningCa ? saved : `${saved}. ca-key.pem is copied to the controllers, as in lab 08`);
}
