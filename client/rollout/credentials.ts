import { KhwError } from "../../proto/errors.ts";
import type { Member } from "../cluster/open.ts";
import { clusterPki, workersOf } from "../config/cluster-pki.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { clusterFiles, createMissing } from "../pki/cluster/create.ts";
import { readPresent } from "../pki/cluster/folder.ts";
import { completeFolder, type NewFiles } from "../pki/folder.ts";
import type { Addresses } from "./addresses.ts";

export interface ProvideOptions {
  readonly addresses: Addresses;
  /** Who was asked whether there is a cluster already. */
  readonly members: readonly Member[];
  /** What a killed run had begun to write to the folder is finished before it is looked at. */
  readonly complete: boolean;
}

/**
 * All files of labs 04 to 06 for a folder that has none of them, not written yet; undefined where one or the other stands there, or the
 * administrator's kubeconfig is brought from elsewhere: then they are somebody's, and khw completes them only when asked to.
 * @throws KhwError CREDENTIAL_INVALID where the nodes have been worked on before: their cluster's files must be somewhere
 */
export async function provideCredentials(
  config: ClusterConfig,
  { addresses, members, complete }: ProvideOptions,
): Promise<NewFiles | undefined> {
  const { folder, adminKubeconfig } = config.credentials;
  if (complete) await completeFolder(folder);
  if (adminKubeconfig !== undefined) return undefined;
  const names = clusterFiles({ workers: workersOf(config.pki.workers), separateSigningCa: true });
  if ((await readPresent(folder, names)).size > 0) return undefined;
  const worked = members.find(({ info }) => info?.operation !== undefined);
  if (worked !== undefined) {
    const name = worked.node.address.name;
    throw new KhwError(
      "CREDENTIAL_INVALID",
      `credentials in ${folder}: there are none, and ${name} has been worked on with some before`,
      {
        hint: "--credentials names the folder that has them; for a new cluster on these machines, khw-client pki create makes new ones",
      },
    );
  }
  return createMissing(new Map(), clusterPki(config, addresses), new Date());
}
