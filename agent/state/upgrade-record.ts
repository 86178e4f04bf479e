import { HistoryKind, Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseKubernetesVersion } from "../../proto/kubernetes-versions.ts";
import { oneLine } from "../../proto/sanitize.ts";
import { parseUuid, refuse } from "../../proto/validate.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import { openRecordFile } from "./record-file.ts";
import type { StatusStore } from "./status-store.ts";

/** The record of the cluster's last upgrade. It only informs operators; nothing on the machine depends on it. */
export interface UpgradeRecord {
  /** Returns why the record cannot be read; undefined if the record can be read or does not exist. */
  damage(): string | undefined;
  /**
   * Saves the record, which is durable when the promise resolves. A new upgrade gets the given holder, and the current
   * time as its start time. Later records with the same id keep this holder and start time.
   * @throws KhwError INVALID_ARGUMENT
   */
  save(upgrade: Upgrade | undefined, holder: string): Promise<Upgrade>;
}

export interface UpgradeRecordOptions {
  readonly os: Pick<Os, "files" | "clock">;
  readonly folder: string;
  readonly statusStore: StatusStore;
  readonly history: History;
}

export async function openUpgradeRecord({
  os: { files, clock },
  folder,
  statusStore,
  history,
}: UpgradeRecordOptions): Promise<UpgradeRecord> {
  const record = await openRecordFile(files, `${folder}/upgrade`, { encode, decode: (bytes) => Upgrade.decode(bytes) });
  let current = record.found;
  statusStore.publish({ upgrade: current });
  return {
    damage: record.damage,
    save: async (wanted, holder) => {
      const asked = parseUpgrade(wanted);
      const now = clock.now();
      const first = current?.id === asked.id ? current : { holder, begunUnixMillis: now };
      const upgrade = {
        ...asked,
        holder: first.holder,
        begunUnixMillis: first.begunUnixMillis,
        changedUnixMillis: now,
      };
      await record.write(upgrade);
      current = upgrade;
      statusStore.publish({ upgrade });
      history.append({
        kind: HistoryKind.HISTORY_KIND_OPERATION,
        subject: upgrade.id,
        message: describeUpgrade(upgrade, holder),
        cause: upgrade.report,
        problem: upgrade.state === UpgradeState.UPGRADE_STATE_STOPPED,
      });
      return upgrade;
    },
  };
}

function describeUpgrade({ fromVersion, toVersion, emulatedVersion, state }: Upgrade, holder: string): string {
  const to = emulatedVersion === "" ? toVersion : `${toVersion}, which emulates ${emulatedVersion},`;
  return `upgrade of the cluster from ${fromVersion} to ${to} ${stateWords[state] ?? "changed"} by ${holder}`;
}

const stateWords: Readonly<Record<number, string>> = {
  [UpgradeState.UPGRADE_STATE_RUNNING]: "started",
  [UpgradeState.UPGRADE_STATE_STOPPED]: "stopped",
  [UpgradeState.UPGRADE_STATE_DONE]: "finished",
};

const longestReport = 2000;

function parseUpgrade(upgrade: Upgrade | undefined): Upgrade {
  if (upgrade === undefined) return refuse("upgrade", "is missing");
  parseUuid("upgrade.id", upgrade.id);
  if (stateWords[upgrade.state] === undefined) refuse("upgrade.state", "is not a state");
  parseKubernetesVersion("upgrade.from_version", upgrade.fromVersion);
  parseKubernetesVersion("upgrade.to_version", upgrade.toVersion);
  if (!/^[\w.-]{0,121}$/.test(upgrade.snapshotId)) refuse("upgrade.snapshot_id", "is not a snapshot ID");
  if (!/^(1\.\d{1,3})?$/.test(upgrade.emulatedVersion)) refuse("upgrade.emulated_version", "is not a minor release");
  return { ...upgrade, report: oneLine(upgrade.report).slice(0, longestReport) };
}

function encode(upgrade: Upgrade): Uint8Array {
  return Upgrade.encode(upgrade).finish();
}
