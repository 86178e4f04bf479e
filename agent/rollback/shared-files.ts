import { isDeepStrictEqual } from "node:util";
import type { CredentialName } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";

/**
 * Files that must be the same on all controllers. With an older file, a controller would reject the other controllers'
 * signatures, or would be unable to decrypt their data.
 */
const sharedFiles: readonly CredentialName[] = [
  "ca.pem",
  "ca-key.pem",
  "etcd-ca.pem",
  "service-account.pem",
  "service-account-key.pem",
  "encryption-config.yaml",
];

/**
 * Compares two desired states. Returns a part that differs although it must be the same on all controllers; undefined
 * if no such part differs. The other controllers may already be in the newer state, which might not be compatible with
 * the older state.
 */
export function sharedDifference(one: DesiredState, other: DesiredState): string | undefined {
  if (!isDeepStrictEqual(one.cluster, other.cluster)) return "the cluster's addresses or IP ranges";
  if ((one.etcd === undefined) !== (other.etcd === undefined)) return "whether khw manages etcd";
  const digestOf = ({ credentials }: DesiredState, wanted: string): string | undefined =>
    credentials.find(({ name }) => name === wanted)?.sha256;
  return sharedFiles.find((name) => digestOf(one, name) !== digestOf(other, name));
}
