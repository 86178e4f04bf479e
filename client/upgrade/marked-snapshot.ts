import minor from "semver/functions/minor.js";
import { KhwError } from "../../proto/errors.ts";
import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { exactTime, loseSinceCommand } from "../../proto/restore.ts";
import type { NodeSnapshot } from "../etcd/snapshots.ts";

/** An upgrade to a newer release. An unfinished restore may already be undoing the upgrade. */
export interface UpgradeToUndo {
  readonly older: string;
  readonly newer: string;
  /** The snapshot that the upgrade took at its start; empty if khw does not manage etcd. */
  readonly snapshotId: string;
  /** The state of the restore of that snapshot, if a restore was recorded. */
  readonly restore: "none" | "unfinished" | "done";
}

/** Returns the purpose of the snapshot that an upgrade takes at its start. */
export function snapshotPurpose(from: string, to: string): string {
  return `upgrade from ${from} to ${to}`;
}

/** Reads the record of an upgrade, or of the restore that undoes an upgrade. */
export function upgradeToUndo(last: Upgrade): UpgradeToUndo {
  const { fromVersion, toVersion, snapshotId, state, restoresSnapshot = false } = last;
  if (!restoresSnapshot) return { older: fromVersion, newer: toVersion, snapshotId, restore: "none" };
  const restore = state === UpgradeState.UPGRADE_STATE_DONE ? "done" : "unfinished";
  return { older: toVersion, newer: fromVersion, snapshotId, restore };
}

/** Whether only a restore can undo the upgrade. */
export function isMinorUpgrade({ older, newer }: UpgradeToUndo): boolean {
  return minor(older) < minor(newer);
}

/** Returns the snapshot that the upgrade took; undefined if no node has it any more. */
export function markedSnapshot(
  { older, newer, snapshotId }: UpgradeToUndo,
  snapshots: readonly NodeSnapshot[],
): NodeSnapshot | undefined {
  const purpose = snapshotPurpose(older, newer);
  return snapshots.find(({ snapshot }) => snapshot.id === snapshotId && snapshot.purpose === purpose);
}

/**
 * Returns the error for a finished upgrade to a new minor release, which cannot be rolled back without data loss. The
 * new release may have stored objects in a form that the old release cannot read. The error names the command that
 * restores the snapshot.
 */
export function finishedMinor(undo: UpgradeToUndo, snapshots: readonly NodeSnapshot[]): KhwError {
  const { older, newer, snapshotId } = undo;
  const found = markedSnapshot(undo, snapshots);
  const patch = "fix the problem with a newer patch release";
  const [possible, hint] =
    snapshotId === ""
      ? ["no snapshot was taken before the upgrade", patch]
      : found === undefined
        ? [`no node still has the snapshot ${snapshotId} from before the upgrade`, patch]
        : [
            `the snapshot ${snapshotId} has the data from before the upgrade (${exactTime(found.snapshot.takenUnixMillis)}) and ` +
              `can be restored together with the programs of ${older}; everything written since then would be lost`,
            `to restore it: ${loseSinceCommand(found.snapshot.takenUnixMillis)}; or ${patch}`,
          ];
  return new KhwError(
    "RELEASE_REFUSED",
    `the upgrade from ${older} to ${newer} is finished, and Kubernetes does not support an older minor release on newer ` +
      `data: ${possible}`,
    { hint },
  );
}
