import {
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
import type { BigIntStats } from "node:fs";
import { dirname } from "node:path";
import { digestOf } from "./digests.ts";
import { replace, syncFolder, temporaryOf } from "./durable.ts";
import { freeSpace } from "./free-space.ts";
import { inTurn } from "./in-turn.ts";
import { io, isErrno, orAbsent } from "./io.ts";
import type { FileFacts, Files } from "./os.ts";
import { createRemembered } from "./remembered.ts";
import { watchFolders } from "./watch.ts";

/** Accesses the machine's file system. */
export function createFiles(): Files {
  // More files than khw checks.
  const sha256 = createRemembered({ derive: digestOf, most: 256 });
  const small = createRemembered({ derive: (handle) => handle.readFile(), most: 16 });
  // Steps that run in parallel can have parent folders in common.
  const oneFolder = inTurn();
  return {
    stat: (path) => io(path, "cannot look", () => orAbsent(() => stat(path))),
    read: (path) => io(path, "cannot read", () => orAbsent(() => readFile(path))),
    readOften: (path) => io(path, "cannot read", () => orAbsent(() => small(path))),
    sha256: (path) => io(path, "cannot read", () => orAbsent(() => sha256(path))),
    write: (path, content, mode) =>
      io(path, "cannot write", () => replace(path, (temporary) => writeWhole(temporary, content, mode))),
    append: (path, content, mode) => io(path, "cannot write", () => append(path, content, mode)),
    chmod: (path, mode) => io(path, "cannot change its mode", () => chmod(path, mode)),
    chown: (path, uid, gid) => io(path, "cannot change its owner", () => chown(path, uid, gid)),
    mkdir: (path, mode) => io(path, "cannot make the folder", () => oneFolder(() => makeFolder(path, mode))),
    symlink: (target, path) => io(path, "cannot link", () => replace(path, (temporary) => symlink(target, temporary))),
    link: (from, to) => io(to, "cannot link", () => linkOver(from, to)),
    rename: (from, to) => io(to, `cannot move ${from} there`, () => renameDurably(from, to)),
    list: (path) => io(path, "cannot list", async () => (await orAbsent(() => readdir(path))) ?? []),
    remove: (path) => io(path, "cannot remove", () => remove(path)),
    watch: watchFolders,
    available: (path) => io(path, "cannot look for free space", () => freeSpace(path)),
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
  // The mode is set last: a world-readable file must not be visible before it is complete. The umask must not
  // remove bits either.
  await handle.chmod(mode);
  await handle.sync();
}

async function append(path: string, content: Uint8Array, mode: number): Promise<void> {
  await using handle = await open(path, "a", mode);
  const { size } = await handle.stat();
  await handle.writeFile(content);
  await handle.sync();
  // The file may be new, so its name must survive a power loss too.
  if (size === 0) await syncFolder(dirname(path));
}

/**
 * Makes the folder and its missing parents. Each gets its name only when its mode is set. Otherwise a kill between
 * mkdir(2), which obeys the umask, and chmod would leave a folder that only root can enter.
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
  // rename(2) does nothing if both names have the same inode; the temporary name would stay.
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

/** Removes a file, a link, or an empty folder. */
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
