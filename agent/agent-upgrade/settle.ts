import { type AgentUpgrade, AgentUpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { listen } from "../os/listen.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";
import { keptPackage, receivedPackage } from "../paths.ts";
import { packageName } from "./check-package.ts";
import { isRoutine, sinceDeliberateStop } from "../diagnose/starts.ts";
import { decide, type UpgradeView } from "./decide.ts";
import type { AgentUpgradeRecord } from "./record.ts";
import { installUnit, type RollbackUnits, rollbackUnit } from "./rollback-units.ts";

export interface SettleOptions {
  readonly os: Os;
  readonly record: AgentUpgradeRecord;
  readonly units: RollbackUnits;
  /** Whether this process started after the upgrade had begun. */
  readonly restarted: boolean;
  /** Resolves when this process has answered a call from an administrator. */
  readonly answered: Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Follows an upgrade until it ends, then cleans up and records the result. Does nothing while apt is running. Often,
 * apt stops this process before the upgrade ends; the next process then continues.
 */
export async function settleUpgrade(upgrade: AgentUpgrade, options: SettleOptions): Promise<void> {
  const { os, units, restarted, signal } = options;
  let isAnswered = false;
  let wake = (): void => {};
  const onAnswer = async (): Promise<void> => {
    await options.answered;
    isAnswered = true;
    wake();
  };
  void onAnswer();
  const stopWatching = os.systemd.watch([installUnit, rollbackUnit], () => wake());
  try {
    for (;;) {
      using change = listen<void>(signal, ({ resolve }) => {
        wake = resolve;
        return [];
      });
      const view: UpgradeView = { ...upgrade, ...(await look(os, units)), restarted, answered: isAnswered };
      const verdict = decide(view);
      // The rollback may have begun between `look` and `stopTimer`. If so, the rollback ends this process.
      if (verdict.kind !== "wait" && (await stopTimer(os, units, signal)))
        return await finish(upgrade, verdict, options);
      await change.outcome;
    }
  } finally {
    stopWatching();
  }
}

type Look = Pick<UpgradeView, "installed" | "installing" | "rollingBack" | "rolledBack">;

/** Reads the units first. If a unit ends after that, the loop runs again. */
async function look({ systemd, packages }: Os, units: RollbackUnits): Promise<Look> {
  const installing = isAtWork(await systemd.unit(installUnit));
  const rollingBack = isAtWork(await systemd.unit(rollbackUnit));
  return {
    installing,
    rollingBack,
    rolledBack: await units.rolledBack(),
    installed: await packages.installed(packageName),
  };
}

/** Stops the timer. Returns false if the rollback has already started. */
async function stopTimer({ systemd }: Os, units: RollbackUnits, signal: AbortSignal): Promise<boolean> {
  await units.stopTimer(signal);
  return !isAtWork(await systemd.unit(rollbackUnit));
}

/** Whether an installation's unit is running, starting or stopping. */
export function isAtWork({ activeState }: UnitStatus): boolean {
  return activeState === "active" || activeState === "activating" || activeState === "deactivating";
}

type Ended = Exclude<ReturnType<typeof decide>, { kind: "wait" }>;

/** Deals with the package file first, because the next upgrade may begin as soon as the final record is saved. */
async function finish(
  upgrade: AgentUpgrade,
  verdict: Ended,
  { os, record, units, signal }: SettleOptions,
): Promise<void> {
  const { files } = os;
  switch (verdict.kind) {
    case "done":
      // The file is missing if an earlier process exited after this rename.
      if ((await files.stat(receivedPackage)) !== undefined) await files.rename(receivedPackage, keptPackage);
      await units.disarm(signal);
      await record.save({ ...upgrade, state: AgentUpgradeState.AGENT_UPGRADE_STATE_DONE });
      return;
    case "failed":
    case "rolled-back": {
      const rolledBack = verdict.kind === "rolled-back";
      const evidence = rolledBack ? await lastLines(os) : await os.systemd.journal(installUnit, 5);
      const report = [verdict.why, ...evidence].join(" | ");
      await files.remove(receivedPackage);
      await units.disarm(signal);
      const { AGENT_UPGRADE_STATE_FAILED: failed, AGENT_UPGRADE_STATE_ROLLED_BACK: back } = AgentUpgradeState;
      await record.save({ ...upgrade, state: rolledBack ? back : failed, report });
    }
  }
}

const agentUnit = "khw-agent.service";
const journalLines = 100;

/** Matches systemd's lines about a failed start. */
const failedStart = /: (?:Main process exited|Failed with result)|^Failed to start /;

/**
 * Returns the last lines that the replaced agent wrote to the journal. Skips starts that wrote no lines. If the agent
 * itself wrote lines, leaves out systemd's lines, because there can be enough of them to hide the agent's own.
 */
async function lastLines({ systemd }: Os): Promise<string[]> {
  const starts = await systemd.starts(agentUnit, journalLines);
  const replaced = sinceDeliberateStop(starts.slice(0, -1)).map((start) => start.filter((line) => !isRoutine(line)));
  const last = replaced.findLast((lines) => lines.length > 0) ?? [];
  const own = last.filter((line) => !failedStart.test(line));
  return (own.length > 0 ? own : last).slice(-3);
}
