import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import type { FileFacts, Files } from "../../agent/os/files.ts";
import { KhwError } from "../../proto/errors.ts";

interface Entry {
  readonly kind: FileFacts["kind"];
  readonly inode: bigint;
  content: Buffer;
  mode: number;
  uid: number;
  gid: number;
  changedAt: number;
  target?: string;
}

export interface FakeFiles extends Files {
  /** Creates a file and its folders without recording them in `changes`. */
  put(path: string, content: string | Uint8Array, mode?: number): void;
  /** Removes a file without recording it in `changes`. */
  drop(path: string): void;
  text(path: string): string | undefined;
  /** All changes so far (writes, removals, ...), for example "write /etc/hosts". */
  readonly changes: readonly string[];
  /** Notifies the folder's watchers of a change. No other function of this fake notifies watchers. */
  tell(folder: string): void;
  /** Returns the watched folders. */
  watched(): readonly string[];
  /** The free space in bytes, which tests can set. */
  free: number;
  /** Folders that are separate file systems. */
  readonly mounts: Set<string>;
}

/** Creates an in-memory file system, which maps paths to entries. Hard links share an entry. */
export function createFakeFiles(now: () => number): FakeFiles {
  const entries = new Map<string, Entry>();
  const changes: string[] = [];
  let inodes = 0n;

  const make = (kind: Entry["kind"], mode: number, content: string | Uint8Array = ""): Entry => ({
    kind,
    inode: ++inodes,
    content: Buffer.from(content),
    mode,
    uid: 0,
    gid: 0,
    changedAt: now(),
  });
  const follow = (path: string): Entry | undefined => {
    const entry = entries.get(path);
    return entry?.target === undefined ? entry : follow(entry.target);
  };
  const existing = (path: string): Entry => {
    const entry = follow(path);
    if (entry === undefined) throw new KhwError("IO_FAILED", `${path}: no such file or directory`);
    return entry;
  };
  const inFolder = (path: string): void => {
    if (entries.get(dirname(path))?.kind !== "directory") {
      throw new KhwError("IO_FAILED", `${path}: no such file or directory`);
    }
  };
  const makeFolders = (path: string, mode: number): void => {
    if (entries.has(path)) return;
    makeFolders(dirname(path), mode);
    entries.set(path, make("directory", mode));
  };
  const watchers = new Set<{ readonly folders: readonly string[]; readonly listener: () => void }>();
  const change = (what: string): void => void changes.push(what);
  entries.set("/", make("directory", 0o755));

  const mounts = new Set<string>();
  const deviceOf = (path: string): bigint =>
    [...mounts].some((mount) => path === mount || path.startsWith(`${mount}/`)) ? 2n : 1n;

  return {
    changes,
    mounts,
    free: 100e9,
    put: (path, content, mode = 0o644) => {
      makeFolders(dirname(path), 0o755);
      entries.set(path, make("file", mode, content));
    },
    drop: (path) => void entries.delete(path),
    text: (path) => follow(path)?.content.toString("utf8"),
    stat: async (path) => {
      const entry = entries.get(path);
      if (entry === undefined) return undefined;
      const { kind, mode, uid, gid, inode, changedAt, target, content } = entry;
      return {
        kind,
        mode,
        uid,
        gid,
        inode,
        changedAt,
        size: content.length,
        device: deviceOf(path),
        ...(target !== undefined && { target }),
      };
    },
    read: async (path) => follow(path)?.content,
    readOften: async (path) => follow(path)?.content,
    sha256: async (path) => {
      const entry = follow(path);
      return entry && createHash("sha256").update(entry.content).digest("hex");
    },
    write: async (path, content, mode) => {
      inFolder(path);
      change(`write ${path}`);
      entries.set(path, make("file", mode, content));
    },
    append: async (path, content, mode) => {
      inFolder(path);
      change(`append ${path}`);
      const known = entries.get(path);
      const whole = Buffer.concat([known?.content ?? Buffer.alloc(0), content]);
      entries.set(path, { ...make("file", known?.mode ?? mode, whole), inode: known?.inode ?? ++inodes });
    },
    chmod: async (path, mode) => {
      change(`chmod ${path}`);
      Object.assign(existing(path), { mode, changedAt: now() });
    },
    chown: async (path, uid, gid) => {
      change(`chown ${path}`);
      Object.assign(existing(path), { uid, gid, changedAt: now() });
    },
    mkdir: async (path, mode) => {
      if (!entries.has(path)) change(`mkdir ${path}`);
      makeFolders(path, mode);
    },
    symlink: async (target, path) => {
      inFolder(path);
      change(`symlink ${path}`);
      entries.set(path, { ...make("symlink", 0o777), target });
    },
    link: async (from, to) => {
      inFolder(to);
      change(`link ${to}`);
      entries.set(to, existing(from));
    },
    rename: async (from, to) => {
      inFolder(to);
      change(`rename ${from} ${to}`);
      entries.set(to, existing(from));
      entries.delete(from);
    },
    list: async (path) =>
      [...entries.keys()].filter((name) => name !== "/" && dirname(name) === path).map((name) => basename(name)),
    remove: async (path) => {
      if (!entries.has(path)) return;
      if ([...entries.keys()].some((name) => name !== path && dirname(name) === path)) {
        throw new KhwError("IO_FAILED", `${path}: directory not empty`);
      }
      change(`remove ${path}`);
      entries.delete(path);
    },
    tell: (folder) => {
      for (const { folders, listener } of watchers) if (folders.includes(folder)) listener();
    },
    watched: () => [...watchers].flatMap(({ folders }) => folders),
    watch: (folders, listener) => {
      const watcher = { folders, listener };
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    async available() {
      return this.free;
    },
  };
}
