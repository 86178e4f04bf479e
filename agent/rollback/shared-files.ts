import { isDeepStrictEqual } from "node:util";
import type { CredentialName } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";

/**
 * Files that must be the same on all controllers. With an older file, a controller would reject the others' signatures,
 * or could not decrypt their data.
 */
const sharedFiles: readonly CredentialName[] = [
  "ca.pem",
  "ca-key.pem",
  "service-account.pem",
  "service-account-key.pem",
  "encryption-config.yaml",
];

/**
 * Returns a part that differs between two states but must be the same on all controllers; undefined without such a
 * part. The other controllers may already run the newer state, and the older state may no longer fit theirs.
 */
export function sharedDifference(one: DesiredState, other: DesiredState): string | undefined {
  if (!isDeepStrictEqual(one.cluster, other.cluster)) return "the cluster's addresses or ranges";
  if ((one.etcd === undefined) !== (other.etcd === undefined)) return "the etcd of the cluster";
  const digestOf = ({ credentials }: DesiredState, wanted: string): string | undefined =>
    credentials.find(({ name }) => name === wanted)?.sha256;
  return sharedFiles.find((name) => digestOf(one, name) !== digestOf(other, name));
}
