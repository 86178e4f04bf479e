import type { Files } from "../os/files.ts";

/**
 * Keeps a new version of the agent from changing a machine on which the previous version found no drift. The new
 * version may render units or flags differently, and a repair would then restart components without draining the node.
 * The agent therefore only reports drift until a check by the new version finds no drift, or until an operation
 * succeeds.
 */
export interface NewVersion {
  /** Whether the agent reports drift without repairing it. */
  holdsBack(): boolean;
  /** Must be called after a check without drift, and after an operation that succeeded. Never fails. */
  agrees(): Promise<void>;
}

export interface NewVersionOptions {
  readonly files: Pick<Files, "read" | "write" | "mkdir">;
  readonly folder: string;
  readonly version: string;
  readonly log: (line: string) => void;
}

/** Opens the record of the last version that found no drift. If there is no record, repairs are not held back. */
export async function openNewVersion({ files, folder, version, log }: NewVersionOptions): Promise<NewVersion> {
  const path = `${folder}/agreed-version`;
  let agreed = (await files.read(path))?.toString("utf8").trim();
  const holdsBack = (): boolean => agreed !== undefined && agreed !== version;
  if (holdsBack()) {
    log(
      `the agent's version changed from ${agreed ?? ""} to ${version}: drift is only reported until a check finds no drift`,
    );
  }
  return {
    holdsBack,
    agrees: async () => {
      if (agreed === version) return;
      agreed = version;
      try {
        await files.mkdir(folder, 0o700);
        await files.write(path, `${version}\n`, 0o600);
      } catch (error) {
        // Without the record, this version again holds back repairs after its next start, which is harmless.
        log(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
  };
}
