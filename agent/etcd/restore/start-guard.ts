import type { Files } from "../../os/files.ts";
import type { Systemd } from "../../os/systemd.ts";
import { dropInFolder, restoringDropIn } from "../../paths.ts";

/**
 * Prevents units from starting before their turn, no matter what tries to start them, even after a reboot. A drop-in
 * adds a condition that never holds, so systemd skips the start; a skipped start does not count as a failure.
 */
export interface StartGuard {
  readonly close: (units: readonly string[]) => Promise<void>;
  readonly open: (units: readonly string[]) => Promise<void>;
  /** Whether any of these units is kept from starting. */
  readonly isClosed: (units: readonly string[]) => Promise<boolean>;
}

const text = `# etcd is being restored, and this unit must not start yet: \`khw-client etcd status\` prints the command that
# continues the restore.
[Unit]
ConditionPathExists=/nonexistent/until-etcd-is-restored
`;

export function createStartGuard({ files, systemd }: { readonly files: Files; readonly systemd: Systemd }): StartGuard {
  return {
    close: async (units) => {
      for (const unit of units) {
        await files.mkdir(dropInFolder(unit), 0o755);
        await files.write(restoringDropIn(unit), text, 0o644);
      }
      await systemd.reload();
    },
    open: async (units) => {
      for (const unit of units) await files.remove(restoringDropIn(unit));
      await systemd.reload();
    },
    isClosed: async (units) => {
      for (const unit of units) if ((await files.stat(restoringDropIn(unit))) !== undefined) return true;
      return false;
    },
  };
}
