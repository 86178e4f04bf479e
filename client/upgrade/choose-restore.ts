import minor from "semver/functions/minor.js";
import { KhwError } from "../../proto/errors.ts";
import type { Upgrade } from "../../proto/gen/khw/agent/v1/agent.ts";
import { exactTime } from "../../proto/restore.ts";
import { type NodeEtcd } from "../etcd/overview.ts";
import { restoreIdFor, unfinishedRestoreOf } from "../etcd/restore.ts";
import type { NodeSnapshot } from "../etcd/snapshots.ts";
import { distinct, type NodeRelease } from "../release/path.ts";
import { isMinorUpgrade, markedSnapshot, type UpgradeToUndo, upgradeToUndo } from "./marked-snapshot.ts";

/**
 * A restore that undoes an upgrade. It restores the snapshot that the upgrade took when it started, and the release
 * from before the upgrade.
 */
export interface RestoreCourse {
  readonly from: string;
  readonly to: string;
  /** The running etcd release, which the restore keeps. */
  readonly etcd: string;
  readonly snapshot: NodeSnapshot;
  readonly restoreId: string;
  /** "continue": the restore has begun on at least one node. "done": every node runs the older release again. */
  readonly stage: "begin" | "continue" | "done";
}

export interface RestoreFacts {
  /** The value of --lose-since. */
  readonly time: string;
  /** The last upgrade that an agent has recorded. */
  readonly last: Upgrade | undefined;
  readonly running: { readonly kubernetes: readonly NodeRelease[]; readonly etcd: readonly NodeRelease[] };
  readonly etcd: readonly NodeEtcd[];
  readonly snapshots: readonly NodeSnapshot[];
}

/**
 * Returns the restore that undoes the last upgrade.
 * @throws KhwError INVALID_ARGUMENT if `time` is not exactly the snapshot's time; RELEASE_REFUSED if the upgrade cannot
 * be undone by a restore
 */
export function chooseRestore({ time, last, running, etcd, snapshots }: RestoreFacts): RestoreCourse {
  if (last === undefined) {
    throw refused("no upgrade is recorded, so it is not known which snapshot matches an older release", {
      hint: "use khw-client etcd restore to restore a snapshot without changing the release",
    });
  }
  const undo = upgradeToUndo(last);
  const { older, newer } = undo;
  if (!isMinorUpgrade(undo)) {
    throw refused(`the last upgrade, from ${older} to ${newer}, needs no restore: rolling back loses nothing`, {
      hint: "run khw-client upgrade --back",
    });
  }
  const snapshot = markedSnapshot(undo, snapshots);
  if (snapshot === undefined) {
    throw refused(`no node has the snapshot that was taken before the upgrade from ${older} to ${newer}`, {
      hint: "run khw-client upgrade --back to see what is possible",
    });
  }
  const taken = exactTime(snapshot.snapshot.takenUnixMillis);
  if (time !== taken) {
    const what = `--lose-since is ${time}, but the snapshot ${snapshot.snapshot.id} was taken at ${taken}`;
    throw new KhwError("INVALID_ARGUMENT", what, {
      hint: "nothing was changed; give exactly the snapshot's time to confirm that everything written since then is lost",
    });
  }
  const begun = unfinishedRestoreOf(snapshot.snapshot.id, etcd, older);
  const stage = begun === undefined ? stageOf(undo, distinct(running.kubernetes)) : "continue";
  const restoreId = restoreIdFor(snapshot.snapshot.id, etcd, older);
  return { from: newer, to: older, etcd: etcdRelease(snapshot, running.etcd), snapshot, restoreId, stage };
}

function stageOf({ older, newer, restore }: UpgradeToUndo, releases: readonly string[]): "begin" | "done" {
  const [only] = releases;
  if (releases.length === 1 && only === older && restore !== "none") return "done";
  if (releases.length === 1 && only === newer && restore !== "done") return "begin";
  // A node has lost its record of the restore, and the other nodes have finished the restore.
  const known = releases.every((release) => release === older || release === newer);
  if (restore === "unfinished" && known) return "begin";
  if (restore === "none" && known && releases.length > 1) {
    throw refused(`the upgrade from ${older} to ${newer} is not finished: rolling back needs no restore`, {
      hint: "run khw-client upgrade --back",
    });
  }
  throw refused(`the nodes run ${releases.join(", ")}, and the last upgrade was from ${older} to ${newer}`, {
    hint: "--lose-since undoes only the last upgrade, and only while the nodes run the release that this upgrade installed",
  });
}

/** An etcd release restores snapshots of its own minor release and of older minor releases. */
function etcdRelease({ snapshot }: NodeSnapshot, running: readonly NodeRelease[]): string {
  const [release, ...others] = distinct(running);
  if (release === undefined) {
    throw new KhwError("RELEASE_UNKNOWN", "the release of etcd is not known", { hint: "run khw-client status" });
  }
  if (others.length > 0) {
    throw refused(`the nodes run several releases of etcd: ${[release, ...others].join(", ")}`, {
      hint: "finish the update of etcd first: khw-client bootstrap",
    });
  }
  const taken = `v${snapshot.etcdVersion}`;
  if (snapshot.etcdVersion !== "" && minor(taken) > minor(release)) {
    throw refused(`the snapshot ${snapshot.id} was taken with etcd ${taken}; etcd ${release} cannot restore it`, {
      hint: `update etcd to ${taken} first`,
    });
  }
  return release;
}

function refused(message: string, options: { readonly hint: string }): KhwError {
  return new KhwError("RELEASE_REFUSED", message, options);
}
