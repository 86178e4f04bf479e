import type { Dirent } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../../../proto/errno.ts";
import { KhwError } from "../../../proto/errors.ts";
import type { Folder } from "./others.ts";
import type { Problem } from "./problem.ts";

/** The files in a folder that could be read, and the problems with the other files. */
export interface FolderContent {
  readonly files: Folder;
  readonly problems: readonly Problem[];
}

/**
 * Reads the certificates, keys, kubeconfigs and the encryption config in a folder. Skips subfolders, and all files
 * whose names start with a dot, for example lock files of editors.
 * @throws KhwError IO_FAILED for a folder that cannot be listed
 */
export async function readFolder(folder: string): Promise<FolderContent> {
  const names = (await listFolder(folder)).flatMap((entry) => (isCandidate(entry) ? [entry.name] : []));
  const files = new Map<string, Uint8Array>();
  const problems: Problem[] = [];
  for (const name of names.sort()) {
    try {
      // A link to a folder is also skipped.
      if ((await stat(join(folder, name))).isFile()) files.set(name, await readFile(join(folder, name)));
    } catch (error) {
      const code = codeOf(error);
      if (code === "") throw error;
      const what = code === "ENOENT" ? "is a link to a missing file" : `cannot be read (${code})`;
      problems.push({
        file: name,
        what,
        remedy: "remove it, or replace it with a file that you can read",
        severity: "warning",
      });
    }
  }
  return { files, problems };
}

async function listFolder(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `${folder} cannot be read: ${reason}`, {
      hint: "create the cluster's files with khw-client pki create, or specify their folder with --credentials",
      cause,
    });
  }
}

function isCandidate(entry: Dirent): boolean {
  const named = /^[^.].*\.(?:pem|kubeconfig)$|^encryption-config\.yaml$/.test(entry.name);
  return named && (entry.isFile() || entry.isSymbolicLink());
}

/** Returns a problem for each file with keys that other users than the owner can read or change. */
export async function openFiles(folder: string, names: Iterable<string>): Promise<Problem[]> {
  const secret = [...names].filter((name) => !name.endsWith(".pem") || name.endsWith("-key.pem"));
  const found = await Promise.all(
    secret.map(async (file): Promise<Problem[]> => {
      const path = join(folder, file);
      const mode = (await stat(path)).mode & 0o777;
      if ((mode & 0o077) === 0) return [];
      const what = `other users can read or change it: ${mode.toString(8).padStart(4, "0")}`;
      return [{ file, field: "mode", what, remedy: `chmod 600 ${path}`, severity: "warning" }];
    }),
  );
  return found.flat();
}
