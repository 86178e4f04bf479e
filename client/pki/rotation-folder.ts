import { access, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { type NewFiles, syncFolder, writeWhole } from "./folder.ts";
import { makeStaging } from "./staging.ts";

/** The CAs in the credentials folder that a command can replace. Each entry is the base name of the CA's files. */
export const rotatedCas = ["ca", "etcd-ca", "signing-ca"] as const;
export type RotatedCa = (typeof rotatedCas)[number];

/** Returns the name of the subfolder of the credentials folder that is used while this CA is being replaced. */
export function caRotationFolder(file: RotatedCa): string {
  return `rotation-${file}`;
}

/** Whether the CA is being replaced. */
export async function isCaRotating(credentials: string, file: RotatedCa = "ca"): Promise<boolean> {
  return access(join(credentials, caRotationFolder(file))).then(
    () => true,
    () => false,
  );
}

/**
 * Creates the folder `name` for a rotation, with these files. The folder never exists without all of its files.
 * @throws KhwError BUSY if the folder exists, IO_FAILED
 */
export async function createRotationFolder(parent: string, name: string, files: NewFiles): Promise<void> {
  let staging: string | undefined;
  try {
    staging = await makeStaging(parent);
    await writeWhole(staging, files);
    await rename(staging, join(parent, name));
    await syncFolder(parent);
  } catch (cause) {
    if (staging !== undefined) await rm(staging, { recursive: true, force: true });
    if (isErrno(cause, "ENOTEMPTY", "EEXIST")) {
      throw new KhwError("BUSY", `${join(parent, name)}: another command has just started a rotation`, {
        hint: "run the command again",
        cause,
      });
    }
    throw writeError(parent, cause);
  }
}

/**
 * Ends a rotation: renames its folder to `replaced-TIME-NAME`, then removes the given files from the renamed folder.
 * Returns the folder's new path.
 * @throws KhwError IO_FAILED
 */
export async function closeRotationFolder(
  parent: string,
  name: string,
  { remove, now }: { readonly remove: readonly string[]; readonly now: Date },
): Promise<string> {
  const kept = join(parent, `replaced-${now.toISOString().replaceAll(/[:.]/g, "-")}-${name}`);
  try {
    await rename(join(parent, name), kept);
    await syncFolder(parent);
    for (const file of remove) await rm(join(kept, file), { force: true });
    return kept;
  } catch (cause) {
    throw writeError(parent, cause);
  }
}

/** Returns the folder with the files of the last rotation that has ended; undefined if no rotation has ended. */
export async function lastRotation(parent: string, name: string): Promise<string | undefined> {
  const ended = (await readdir(parent)).filter((each) => each.startsWith("replaced-") && each.endsWith(`-${name}`));
  const last = ended.toSorted().at(-1);
  return last === undefined ? undefined : join(parent, last);
}

/** The parts of a rotation that show whether an earlier run of the command has ended it. */
export interface EndedParts {
  /** Returns the folder with the files of the last rotation that has ended; undefined if no rotation has ended. */
  last(): Promise<string | undefined>;
  note(text: string): void;
}

/**
 * Whether an earlier run has already ended the rotation, so that there is no old key or CA to drop. Prints a note if so.
 * Call this function only if no rotation is under way.
 */
export async function hasEnded(parts: EndedParts): Promise<boolean> {
  const folder = await parts.last();
  if (folder === undefined) return false;
  parts.note(`nothing to do: no rotation is under way; the last rotation has ended, and its files are in ${folder}`);
  return true;
}

/** @throws KhwError CREDENTIAL_INVALID if the file is missing, although a rotation is under way */
export async function readRotationFile(path: string): Promise<string> {
  const text = await readIfPresent(path);
  if (text !== undefined) return text;
  throw new KhwError("CREDENTIAL_INVALID", `${path} is missing, but a rotation is under way`, {
    hint: "restore the folder from its newest copy",
  });
}

/** Reads a file. Returns undefined if the file does not exist. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isErrno(cause, "ENOENT", "ENOTDIR")) return undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `${path} cannot be read: ${reason}`, { cause });
  }
}

function writeError(folder: string, cause: unknown): KhwError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new KhwError("IO_FAILED", `${folder} cannot be written: ${reason}`, { cause });
}
