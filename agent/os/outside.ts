import { KhwError } from "../../proto/errors.ts";
import type { Systemd } from "./systemd.ts";
import { runTransient } from "./transient.ts";

/** Changes folders that are read-only for the agent itself. The changes run in transient units. */
export interface OutsideFolders {
  /** Removes files and links. Ignores missing paths. */
  removeFiles(paths: readonly string[], signal: AbortSignal): Promise<void>;
  /** Removes a folder and its subfolders, except folders that contain a file. */
  removeEmptyFolders(path: string, signal: AbortSignal): Promise<void>;
  /** Creates a folder with mode 0755, owned by root. */
  makeFolder(path: string, signal: AbortSignal): Promise<void>;
}

/** @throws (each function) KhwError IO_FAILED with the program's output */
export function createOutsideFolders(systemd: Pick<Systemd, "stop">): OutsideFolders {
  const run = async (argv: readonly string[], signal: AbortSignal): Promise<void> => {
    const { code, lines } = await runTransient(argv, { systemd, purpose: "folders", signal });
    if (code !== 0) throw new KhwError("IO_FAILED", `${argv[0] ?? ""}: ${lines.slice(-3).join(" | ")}`);
  };
  return {
    removeFiles: (paths, signal) => run(["/usr/bin/rm", "--force", "--", ...paths], signal),
    removeEmptyFolders: (path, signal) =>
      run(["/usr/bin/find", path, "-xdev", "-depth", "-type", "d", "-empty", "-delete"], signal),
    makeFolder: (path, signal) => run(["/usr/bin/install", "-d", "-m", "0755", "--", path], signal),
  };
}
