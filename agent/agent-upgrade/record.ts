import { AgentUpgrade, AgentUpgradeState, HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import { oneLine } from "../../proto/sanitize.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import { openRecordFile } from "../state/record-file.ts";
import type { StatusStore } from "../state/status-store.ts";

/** The record of the agent's last upgrade. It is stored on disk and shown in the status and the history. */
export interface AgentUpgradeRecord {
  current(): AgentUpgrade | undefined;
  /** Returns why the record cannot be read; undefined if the record is readable or absent. */
  damage(): string | undefined;
  /** Saves the record of the upgrade. The record is durable when the promise resolves. */
  save(upgrade: AgentUpgrade): Promise<AgentUpgrade>;
}

export interface AgentUpgradeRecordOptions {
  readonly os: Pick<Os, "files" | "clock">;
  readonly folder: string;
  readonly statusStore: StatusStore;
  readonly history: Pick<History, "append">;
}

const longestReport = 2000;

export async function openAgentUpgradeRecord({
  os: { files, clock },
  folder,
  statusStore,
  history,
}: AgentUpgradeRecordOptions): Promise<AgentUpgradeRecord> {
  const record = await openRecordFile(files, `${folder}/agent-upgrade`, {
    encode: (upgrade: AgentUpgrade) => AgentUpgrade.encode(upgrade).finish(),
    decode: (bytes) => AgentUpgrade.decode(bytes),
  });
  let current = record.found;
  statusStore.publish({ agentUpgrade: current });
  return {
    current: () => current,
    damage: record.damage,
    save: async (wanted) => {
      const report = oneLine(wanted.report).slice(0, longestReport);
      const upgrade = { ...wanted, report, changedUnixMillis: clock.now() };
      await record.write(upgrade);
      current = upgrade;
      statusStore.publish({ agentUpgrade: upgrade });
      const bad = new Set<number>([
        AgentUpgradeState.AGENT_UPGRADE_STATE_FAILED,
        AgentUpgradeState.AGENT_UPGRADE_STATE_ROLLED_BACK,
      ]);
      history.append({
        kind: HistoryKind.HISTORY_KIND_AGENT,
        subject: "khw-agent",
        message: describe(upgrade),
        cause: report,
        problem: bad.has(upgrade.state),
      });
      return upgrade;
    },
  };
}

function describe({ fromVersion, toVersion, holder, state }: AgentUpgrade): string {
  return `upgrade of the agent from ${fromVersion} to ${toVersion} by ${holder}: ${stateWords[state] ?? "changed"}`;
}

const stateWords: Readonly<Record<number, string>> = {
  [AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING]: "started",
  [AgentUpgradeState.AGENT_UPGRADE_STATE_DONE]: "done",
  [AgentUpgradeState.AGENT_UPGRADE_STATE_FAILED]: "failed",
  [AgentUpgradeState.AGENT_UPGRADE_STATE_ROLLED_BACK]: "rolled back",
};
