import { isDeepStrictEqual } from "node:util";
import type { CredentialName } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";

/**
 * Files that must be the same on all controllers: with an older one, a controller would refuse what the others sign, or could
 * not read what they have encrypted.
 */
const sharedFiles: readonly CredentialName[] = [
  "ca.pem",
  "ca-key.pem",
  "service-account.pem",
  "service-account-key.pem",
  "encryption-config.yaml",
];

/**
 * Returns what differs between two states and must be the same on all controllers; undefined if nothing does. The other controllers
 * may run the newer state already, and the older one may no longer fit.
 */
export function sharedDifference(one: DesiredState, other: DesiredState): string | undefined {
  if (!isDeepStrictEqual(one.cluster, other.cluster)) return "the cluster's addresses or ranges";
  if ((one.etcd === undefined) !== (other.etcd === undefined)) return "the etcd of the cluster";
  const digestOf = ({ credentials }: DesiredState, wanted: string): string | undefined =>
    credentials.find(({ name }) => name === wanted)?.sha256;
  return sharedFiles.find((name) => digestOf(one, name) !== digestOf(other, name));
}
