import type { WithEtcd } from "../../proto/desired.ts";
import { clientUrl } from "../../proto/etcd.ts";
import { askHealth, healthCheckOf } from "../health/health.ts";
import type { Os } from "../os/os.ts";

/**
 * Returns why this machine's member must not be downgraded to the given older minor release of etcd; null if the
 * downgrade is safe. A downgrade is safe if the cluster version is not newer than the older release. Until every member
 * runs the newer release, all members write data that the older release can read. A quorum must report the cluster
 * version, because an isolated member may report an outdated one. Source:
 * https://etcd.io/docs/v3.5/upgrades/upgrade_3_5/ (Rollback).
 */
export async function downgradeObstacle(
  { etcd, cluster }: WithEtcd,
  os: Os,
  signal: AbortSignal,
): Promise<string | null> {
  const { controllers } = cluster;
  const answers = await Promise.all(controllers.map((one) => askClusterVersion(clientUrl(one), os, signal)));
  const versions = answers.flatMap((version) => version ?? []);
  const newer = versions.find((version) => etcdMinor(version) > etcdMinor(etcd.version));
  if (newer !== undefined)
    return `the cluster version of etcd is already ${newer}, and ${etcd.version} cannot read the cluster's data`;
  const quorum = Math.floor(controllers.length / 2) + 1;
  return versions.length >= quorum
    ? null
    : `only ${versions.length} of ${controllers.length} etcd members report the cluster version, so it may be newer than ${etcd.version}`;
}

/**
 * Returns the cluster version, for example "3.4.0"; undefined if the server does not answer or does not know the
 * version yet.
 */
async function askClusterVersion(server: string, os: Os, signal: AbortSignal): Promise<string | undefined> {
  const answer = await askHealth({ ...healthCheckOf("etcd"), url: `${server}/version` }, os, { signal });
  if (typeof answer === "string" || answer.status !== 200) return undefined;
  return /"etcdcluster"\s*:\s*"(\d+\.\d+\.\d+)"/.exec(answer.body)?.[1];
}

/** Returns the minor version of an etcd 3 release, for example 4 for "v3.4.15". */
export function etcdMinor(version: string): number {
  return Number(/^v?3\.(\d+)\./.exec(version)?.[1]);
}
