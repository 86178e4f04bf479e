import { randomUUID } from "node:crypto";
import { formatError, KhwError, toKhwError } from "../../proto/errors.ts";
import {
  type AgentPackage,
  type AgentUpgrade,
  AgentUpgradeState,
  UpgradeAgentOutcome,
  type UpgradeAgentResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import { keptPackage, receivedPackage } from "../paths.ts";
import type { MachineLock } from "../state/machine-lock.ts";
import type { StatusStore } from "../state/status-store.ts";
import { checkPackage, hasWayBack, isInstalled, packageName } from "./check-package.ts";
import { draftFile, parseAnnounced, receivePackage } from "./receive-package.ts";
import { openAgentUpgradeRecord } from "./record.ts";
import { createRollbackUnits, installUnit, rollbackTimer } from "./rollback-units.ts";
import { isAtWork, settleUpgrade } from "./settle.ts";

/** Upgrades the agent's own package (docs/decisions/agent-upgrades.md). */
export interface AgentUpgrades {
  /**
   * Receives and checks a package, and starts its installation. Returns before apt exits.
   * @throws KhwError before any change if the package is rejected; BUSY while an operation is running
   */
  upgrade(announced: AgentPackage, chunks: AsyncIterable<Uint8Array>, call: UpgradeCall): Promise<UpgradeAgentResponse>;
  /** Must be called after this process has answered a call from an administrator. */
  answered(): void;
  /** Returns why the record of the last upgrade is unreadable; undefined if the record is readable. */
  damage(): string | undefined;
}

export interface UpgradeCall {
  readonly holder: string;
  /** Aborts when the caller disconnects. */
  readonly gone: AbortSignal;
}

export interface AgentUpgradesOptions {
  readonly os: Os;
  readonly folder: string;
  readonly machineLock: Pick<MachineLock, "lock">;
  readonly statusStore: StatusStore;
  readonly history: Pick<History, "append">;
  readonly log: (line: string) => void;
  /** Aborts when the agent exits. */
  readonly signal: AbortSignal;
}

/**
 * Prepares upgrades of the agent. If an earlier process has begun an upgrade, this process follows that upgrade to its
 * end, even after a reboot.
 */
export async function openAgentUpgrades(options: AgentUpgradesOptions): Promise<AgentUpgrades> {
  const { os, machineLock, log, signal } = options;
  const { files, systemd, packages, packageFiles, clock } = os;
  const record = await openAgentUpgradeRecord(options);
  const units = createRollbackUnits(os);
  const answer = Promise.withResolvers<void>();
  let turn: Promise<unknown> = Promise.resolve();

  const isRunning = (): boolean => record.current()?.state === AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING;
  const follow = (upgrade: AgentUpgrade, restarted: boolean): Promise<void> =>
    settleUpgrade(upgrade, { os, record, units, restarted, answered: answer.promise, signal });

  const check = async (announced: AgentPackage): Promise<UpgradeAgentResponse> => {
    const { allowDowngrade, noRollback } = announced;
    const installed = await packages.installed(packageName);
    if (installed === undefined) throw notInstalled();
    const facts = await packageFiles.inspect(receivedPackage, signal);
    const { architecture } = os;
    await checkPackage(facts, { architecture, installed, allowDowngrade, packageFiles, signal });
    const versions = { fromVersion: installed, toVersion: facts.version, upgrade: undefined };
    if (facts.version === installed) {
      if (!(await isInstalled(facts, installed, packageFiles))) throw sameVersion(installed);
      await files.rename(receivedPackage, keptPackage);
      return { ...versions, outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_UNCHANGED };
    }
    if (!noRollback && !(await hasWayBack(installed, os, signal))) throw noWayBack(installed);
    return { ...versions, outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_CHECKED };
  };

  const begin = (checked: UpgradeAgentResponse, announced: AgentPackage, holder: string): Promise<AgentUpgrade> => {
    const { fromVersion, toVersion } = checked;
    const { noRollback, allowDowngrade } = announced;
    const started = Promise.withResolvers<AgentUpgrade>();
    // The lock blocks other operations until apt has exited. Usually, apt replaces this process earlier, and the lock
    // ends with the process.
    const work = machineLock.lock(`an agent upgrade to ${toVersion} that ${holder} started`, async () => {
      const state = AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING;
      const begun = { id: randomUUID(), fromVersion, toVersion, state, holder, report: "", noRollback };
      const upgrade = await record.save({ ...begun, begunUnixMillis: clock.now(), changedUnixMillis: 0 });
      try {
        // Frees the unit's name, which a failed unit from an earlier installation may still use. The name must be free
        // before the rollback's unit refers to it. Otherwise, systemd keeps the failed unit loaded.
        await systemd.resetFailed(installUnit);
        if (!noRollback) await units.arm();
        const afterwards = noRollback ? undefined : rollbackTimer;
        await packageFiles.beginInstall(receivedPackage, { unit: installUnit, allowDowngrade, afterwards, signal });
      } catch (thrown) {
        // apt may already have stopped this process; the next process then follows the upgrade.
        signal.throwIfAborted();
        // systemd can report an error even though it has started the unit. The rollback must then stay armed.
        if (!isAtWork(await systemd.unit(installUnit))) {
          await units.disarm(signal);
          await record.save({
            ...upgrade,
            state: AgentUpgradeState.AGENT_UPGRADE_STATE_FAILED,
            report: toKhwError(thrown).message,
          });
          throw thrown;
        }
      }
      started.resolve(upgrade);
      await follow(upgrade, false);
    });
    work.catch((thrown: unknown) => {
      started.reject(thrown);
      logUnlessEnding(thrown);
    });
    return started.promise;
  };

  const logUnlessEnding = (thrown: unknown): void => {
    if (!signal.aborted) log(`the upgrade of the agent: ${formatError(toKhwError(thrown))}`);
  };

  const upgrade: AgentUpgrades["upgrade"] = async (announced, chunks, { holder, gone }) => {
    const parsed = parseAnnounced(announced);
    if (isRunning()) throw busy(record.current());
    await receivePackage(parsed, chunks, os);
    gone.throwIfAborted();
    const checked = await check(parsed).catch(async (thrown: unknown) => {
      await files.remove(receivedPackage);
      throw thrown;
    });
    const isReady = checked.outcome === UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_CHECKED;
    if (parsed.checkOnly || !isReady) return checked;
    const outcome = UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED;
    return { ...checked, outcome, upgrade: await begin(checked, parsed, holder) };
  };

  await files.remove(draftFile());
  const last = record.current();
  if (last !== undefined && isRunning()) void follow(last, true).catch(logUnlessEnding);
  // Removes units left behind by an earlier process that was killed while cleaning up. If the record is unreadable, the
  // units stay, so that systemd rolls back.
  else if (record.damage() === undefined) await units.disarm(signal);

  return {
    damage: () => record.damage(),
    answered: () => answer.resolve(),
    upgrade: (announced, chunks, call) => {
      const mine = turn.then(() => upgrade(announced, chunks, call));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

function notInstalled(): KhwError {
  return new KhwError("PACKAGE_FAILED", `dpkg does not list ${packageName} as installed`, {
    hint: `run \`dpkg --configure -a\` on the node, and see \`dpkg --status ${packageName}\``,
  });
}

function sameVersion(version: string): KhwError {
  return new KhwError(
    "RELEASE_REFUSED",
    `the package has the same version (${version}) as the installed package, but different files`,
    {
      hint: "build the package with a higher version",
    },
  );
}

function noWayBack(installed: string): KhwError {
  return new KhwError(
    "RELEASE_REFUSED",
    `the agent does not have the package for the installed version ${installed}, so it would not be possible to roll back the upgrade`,
    {
      hint: `first send that package to the node with \`khw-client agent upgrade --deb khw-agent_${installed}_ARCH.deb\`, which changes nothing else, or use --no-rollback`,
    },
  );
}

function busy(upgrade: AgentUpgrade | undefined): KhwError {
  const { holder = "?", toVersion = "?", begunUnixMillis = 0 } = upgrade ?? {};
  const since = new Date(begunUnixMillis).toISOString();
  return new KhwError(
    "BUSY",
    `an upgrade of the agent to ${toVersion}, which ${holder} started at ${since}, has not finished yet`,
    {
      hint: "wait until `khw-client events` shows that this upgrade has ended, then run the command again",
    },
  );
}
