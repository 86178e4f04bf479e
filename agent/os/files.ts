import {
  type FileHandle,
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  stat as statFollowing,
  symlink,
  unlink,
} from "node:fs/promises";
import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { dirname } from "node:path";
import { replace, syncFolder, temporaryOf } from "./durable.ts";
import { freeSpace } from "./free-space.ts";
import { inTurn } from "./in-turn.ts";
import { io, orAbsent } from "./io.ts";
import { createRemembered } from "./remembered.ts";
import { watchFolders } from "./watch.ts";
import { isErrno } from "../../proto/errno.ts";

export interface FileFacts {
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Permission bits, for example 0o600. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** The time of the last change to the contents or attributes (ctime), in milliseconds since the epoch. */
  readonly changedAt: number;
  readonly inode: bigint;
  readonly device: bigint;
  /** The target of a symbolic link; absent for other file types. */
  readonly target?: string | undefined;
}

/**
 * The machine's file system. Paths are absolute. A failure throws a KhwError IO_FAILED with the path. For common
 * causes, such as a full disk, the error also has a hint.
 */
export interface Files {
  /** Returns undefined if the path does not exist. Does not follow symbolic links. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** Returns undefined if the file does not exist. */
  read(path: string): Promise<Buffer | undefined>;
  /**
   * Does the same as `read`, for the few small files that are read every few seconds. The contents are cached in the
   * same way as the results of `sha256`.
   */
  readOften(path: string): Promise<Buffer | undefined>;
  /**
   * Returns a file's SHA-256 in hex; undefined if the file does not exist. The result is cached until the file's inode,
   * size or timestamps change.
   */
  sha256(path: string): Promise<string | undefined>;
  /**
   * Writes a file completely or not at all: writes a temporary file, syncs it, renames it, and syncs the folder. The
   * file belongs to root.
   */
  write(path: string, content: string | Uint8Array, mode: number): Promise<void>;
  /** Appends to a file, which is created if it is missing. The appended data is durable when the promise resolves. */
  append(path: string, content: Uint8Array, mode: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  /** Creates a folder and its missing parents. Existing folders keep their modes. */
  mkdir(path: string, mode: number): Promise<void>;
  /** Creates a symbolic link. Replaces an existing file or link. */
  symlink(target: string, path: string): Promise<void>;
  /**
   * Makes `to` a hard link to the file `from`, atomically. Replaces an existing file. Both paths must be on the same
   * file system.
   */
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Returns the names in a folder; empty if the folder does not exist. */
  list(path: string): Promise<string[]>;
  /** Removes a file, a link or an empty folder. Does nothing if the path does not exist. */
  remove(path: string): Promise<void>;
  /**
   * Calls the listener shortly after a change in one of these folders, until the returned function is called. A change
   * can affect a file's contents, mode, owner or name. The removal or reappearance of a folder is a change, too. Many
   * changes at once cause only one call. The listener is also called once when watching has started. It misses no
   * change after this call.
   */
  watch(folders: readonly string[], listener: () => void): () => void;
  /**
   * Returns how many bytes root can still write to the file system that contains a path. The path need not exist yet.
   */
  available(path: string): Promise<number>;
}

/** Creates the interface to the machine's file system. */
export function createFiles(): Files {
  // The maximum is larger than the number of files that khw hashes.
  const sha256 = createRemembered({ derive: digestOf, most: 256 });
  const small = createRemembered({ derive: (handle) => handle.readFile(), most: 16 });
  // Creates only one folder at a time, because steps that run in parallel can share parent folders.
  const oneFolder = inTurn();
  return {
    stat: (path) => io(path, "cannot read its attributes", () => orAbsent(() => stat(path))),
    read: (path) => io(path, "cannot read", () => orAbsent(() => readFile(path))),
    readOften: (path) => io(path, "cannot read", () => orAbsent(() => small(path))),
    sha256: (path) => io(path, "cannot read", () => orAbsent(() => sha256(path))),
    write: (path, content, mode) =>
      io(path, "cannot write", () => replace(path, (temporary) => writeWhole(temporary, content, mode))),
    append: (path, content, mode) => io(path, "cannot write", () => append(path, content, mode)),
    chmod: (path, mode) => io(path, "cannot change its mode", () => chmod(path, mode)),
    chown: (path, uid, gid) => io(path, "cannot change its owner", () => chown(path, uid, gid)),
    mkdir: (path, mode) => io(path, "cannot create the folder", () => oneFolder(() => makeFolder(path, mode))),
    symlink: (target, path) => io(path, "cannot link", () => replace(path, (temporary) => symlink(target, temporary))),
    link: (from, to) => io(to, "cannot link", () => linkOver(from, to)),
    rename: (from, to) => io(to, `cannot move ${from} there`, () => renameDurably(from, to)),
    list: (path) => io(path, "cannot list", async () => (await orAbsent(() => readdir(path))) ?? []),
    remove: (path) => io(path, "cannot remove", () => remove(path)),
    watch: watchFolders,
    available: (path) => io(path, "cannot read the free space", () => freeSpace(path)),
  };
}

async function stat(path: string): Promise<FileFacts> {
  const stats = await lstat(path, { bigint: true });
  const kind = kindOf(stats);
  return {
    kind,
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: Number(stats.size),
    changedAt: Number(stats.ctimeMs),
    inode: stats.ino,
    device: stats.dev,
    ...(kind === "symlink" && { target: await readlink(path) }),
  };
}

function kindOf(stats: BigIntStats): FileFacts["kind"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}

async function writeWhole(temporary: string, content: string | Uint8Array, mode: number): Promise<void> {
  await using handle = await open(temporary, "wx", 0o600);
  await handle.writeFile(content);
  // Sets the mode last, so that nobody else can read the file before it is complete. Unlike `open`, chmod ignores the
  // umask.
  await handle.chmod(mode);
  await handle.sync();
}

async function append(path: string, content: Uint8Array, mode: number): Promise<void> {
  await using handle = await open(path, "a", mode);
  const { size } = await handle.stat();
  await handle.writeFile(content);
  await handle.sync();
  // A file that was empty may be new, so its name must be made durable too.
  if (size === 0) await syncFolder(dirname(path));
}

/**
 * Creates the folder and its missing parents. Each folder gets its final name only after its mode is set. mkdir(2)
 * obeys the umask. Without the rename, a process killed before chmod could leave a folder that only root can enter.
 */
async function makeFolder(path: string, mode: number): Promise<void> {
  const there = await orAbsent(() => statFollowing(path));
  if (there?.isDirectory() === true) return;
  await makeFolder(dirname(path), mode);
  await replace(path, async (temporary) => {
    await mkdir(temporary);
    await chmod(temporary, mode);
  });
}

async function linkOver(from: string, to: string): Promise<void> {
  // rename(2) does nothing if both names refer to the same inode, so the temporary name would remain.
  if (await isSameFile(from, to)) return rm(temporaryOf(to), { force: true });
  await replace(to, (temporary) => link(from, temporary));
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => orAbsent(() => lstat(path, { bigint: true }))));
  return a !== undefined && a.ino === b?.ino && a.dev === b.dev;
}

async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
  if (dirname(from) !== dirname(to)) await syncFolder(dirname(from));
}

/** Removes a file, a link or an empty folder. */
async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return;
    if (!isErrno(error, "EISDIR", "EPERM")) throw error;
    await rmdir(path);
  }
  await syncFolder(dirname(path));
}

const chunkBytes = 1024 * 1024;

/** Returns the SHA-256 of an open file, in hex. */
async function digestOf(handle: FileHandle): Promise<string> {
  const sum = createHash("sha256");
  const chunk = Buffer.allocUnsafe(chunkBytes);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(chunk, 0, chunkBytes, position);
    if (bytesRead === 0) return sum.digest("hex");
    sum.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}
