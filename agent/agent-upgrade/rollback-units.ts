import { aptEnvironment, configurePending, dpkgKeepsFiles } from "../os/packages.ts";
import type { Os } from "../os/os.ts";
import { plainLanguage } from "../os/run.ts";
import { keptPackage, rolledBackMark, unitFile, unitFolder } from "../paths.ts";

/** The unit in which apt installs the new package. */
export const installUnit = "khw-agent-upgrade.service";
/** The unit that installs the previous package again. */
export const rollbackUnit = "khw-agent-rollback.service";
/** The timer that starts the rollback one minute after the installation ends, or after a boot. */
export const rollbackTimer = "khw-agent-rollback.timer";

export const answerSeconds = 60;

/** The link that `systemctl enable` creates. */
const enabledLink = `${unitFolder}/timers.target.wants/${rollbackTimer}`;

/** The rollback of an agent upgrade. Its units are files, not transient units, so that they survive a reboot. */
export interface RollbackUnits {
  /** Installs the rollback units. The timer is not started yet; systemd starts it when the installation ends. */
  arm(): Promise<void>;
  /** Stops the timer. Does nothing if there is no timer. */
  stopTimer(signal: AbortSignal): Promise<void>;
  /** Stops the timer and removes everything that `arm` created. */
  disarm(signal: AbortSignal): Promise<void>;
  /** Whether the previous package has been installed again. */
  rolledBack(): Promise<boolean>;
}

export function createRollbackUnits({ files, systemd }: Pick<Os, "files" | "systemd">): RollbackUnits {
  const exists = async (): Promise<boolean> => (await files.stat(unitFile(rollbackTimer))) !== undefined;
  const stopTimer = async (signal: AbortSignal): Promise<void> => {
    if (await exists()) await systemd.stop(rollbackTimer, signal);
  };
  return {
    arm: async () => {
      await files.remove(rolledBackMark);
      // Writes the timer's file first, because `disarm` uses it to tell whether there is anything to remove.
      await files.write(unitFile(rollbackTimer), rollbackTimerText(), 0o644);
      await files.write(unitFile(rollbackUnit), rollbackService(), 0o644);
      await systemd.reload();
      await systemd.enable(rollbackTimer);
    },
    stopTimer,
    disarm: async (signal) => {
      if (!(await exists())) return;
      await stopTimer(signal);
      for (const path of [enabledLink, unitFile(rollbackUnit), rolledBackMark, unitFile(rollbackTimer)])
        await files.remove(path);
      await systemd.reload();
    },
    rolledBack: async () => (await files.stat(rolledBackMark)) !== undefined,
  };
}

/**
 * The unit first configures all packages whose installation was interrupted. The unit then runs dpkg, not apt, because
 * apt refuses to install the previous package while the new one is marked as `reinst-required`. An interrupted dpkg can
 * leave this mark.
 */
function rollbackService(): string {
  const environment = Object.entries({ ...aptEnvironment, ...plainLanguage }).map(
    ([name, value]) => `${name}=${value}`,
  );
  return `# Written by khw-agent for its own upgrade. The new agent removes this file once it has answered.
[Unit]
Description=Reinstall the previous khw-agent, because the new one does not answer
After=${installUnit}
ConditionPathExists=${keptPackage}
ConditionPathExists=!${rolledBackMark}
StartLimitIntervalSec=0

[Service]
Type=oneshot
Environment=${environment.join(" ")}
ExecStartPre=-${configurePending.join(" ")}
ExecStart=/usr/bin/dpkg --install ${dpkgKeepsFiles.join(" ")} ${keptPackage}
ExecStartPost=/usr/bin/touch ${rolledBackMark}
TimeoutStartSec=900
Restart=on-failure
RestartSec=30
`;
}

function rollbackTimerText(): string {
  return `# Written by khw-agent for its own upgrade. The new agent removes this file once it has answered.
[Unit]
Description=Reinstall the previous khw-agent in a minute, unless the new one answers

[Timer]
OnActiveSec=${answerSeconds}
AccuracySec=1

[Install]
WantedBy=timers.target
`;
}
