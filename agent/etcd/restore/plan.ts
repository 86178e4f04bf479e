import { KhwError } from "../../../proto/errors.ts";
import { type DesiredState, parseCompleteState } from "../../../proto/desired.ts";
import { peerUrl as peerUrlOf } from "../../../proto/etcd.ts";
import type { AdvanceRestoreRequest } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { parseIPv4, parseNodeName, refuse, show } from "../../../proto/validate.ts";
import type { Files } from "../../os/files.ts";
import { etcdDataFolder, unitFolder } from "../../paths.ts";
import { parseSnapshotId } from "../snapshots/record.ts";

/** The snapshot that a machine restores, and the member that the machine becomes. */
export interface RestorePlan {
  readonly restoreId: string;
  readonly snapshotId: string;
  readonly name: string;
  readonly peerUrl: string;
  readonly initialCluster: string;
  /** Peer URLs by name. */
  readonly peers: ReadonlyMap<string, string>;
  /**
   * The desired state whose Kubernetes release the restore also installs; undefined if the restore does not change the
   * release.
   */
  readonly desired: DesiredState | undefined;
}

/** @throws KhwError INVALID_ARGUMENT if the request lists no members, or does not list this machine */
export function parseRestorePlan(
  { restoreId, snapshotId, members, desired }: AdvanceRestoreRequest,
  identity: { readonly name: string; readonly internalIp: string },
): RestorePlan {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(restoreId)) refuse("restore_id", "is not a UUID");
  const peers = members.map(({ name, internalIp }) => ({
    name: parseNodeName("members", name),
    peerUrl: peerUrlOf({ internalIp: parseIPv4(`members.${name}`, internalIp) }),
  }));
  const own = peers.find(({ name }) => name === identity.name);
  if (own === undefined) return refuse("members", `${show(identity.name)} is not among them`);
  if (own.peerUrl !== peerUrlOf(identity)) {
    refuse("members", `${own.name} is at ${identity.internalIp}, not at ${own.peerUrl}`);
  }
  return {
    restoreId,
    snapshotId: parseSnapshotId(snapshotId),
    name: own.name,
    peerUrl: own.peerUrl,
    peers: new Map(peers.map(({ name, peerUrl }) => [name, peerUrl])),
    desired: desired === undefined ? undefined : ownState(desired, identity),
    initialCluster: peers.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(","),
  };
}

function ownState(wanted: AdvanceRestoreRequest["desired"], identity: { readonly name: string }): DesiredState {
  const desired = parseCompleteState(wanted);
  if (desired.node !== identity.name) refuse("desired.node", `${show(desired.node)} is not ${identity.name}`);
  return desired;
}

/**
 * Checks that the unit starts the plan's member from the restored folder. Otherwise the restored data would belong to
 * another member.
 * @throws KhwError ETCD_CONFLICT naming the difference
 */
export async function refuseOtherUnit({ name, peerUrl, initialCluster }: RestorePlan, files: Files): Promise<void> {
  const path = `${unitFolder}/etcd.service`;
  const unit = (await files.read(path))?.toString("utf8");
  if (unit === undefined) throw unfit(`${path} does not exist`);
  const flags = new Map(
    [...unit.matchAll(/--([a-z-]+)[= ]+"?([^\s"\\]+)/g)].map(([, flag = "", value = ""]) => [flag, value]),
  );
  const wanted = {
    name,
    "data-dir": etcdDataFolder,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": initialCluster,
  };
  for (const [flag, value] of Object.entries(wanted)) {
    const found = flags.get(flag) ?? "nothing";
    if (sorted(found) !== sorted(value)) throw unfit(`--${flag} in ${path} is ${found}, not ${value}`);
  }
}

/** Sorts a list of members, so that a comparison ignores their order. */
function sorted(list: string): string {
  return list.split(",").sort().join(",");
}

function unfit(why: string): KhwError {
  return new KhwError("ETCD_CONFLICT", `etcd on this machine differs from lab 07: ${why}`, {
    hint: "restore this etcd manually, with `etcdctl snapshot restore` on each of its members",
  });
}
