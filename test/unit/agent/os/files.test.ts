import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { appendFile, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import t, { type Test } from "tap";
import { createFiles } from "../../../../agent/os/files.ts";
import type { KhwError } from "../../../../proto/errors.ts";

const run = promisify(execFile);

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "khw-files-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

t.test(
  "a write replaces the whole file, sets the mode regardless of the umask, and leaves no temporary file",
  async (t) => {
    const folder = await folderFor(t);
    const path = join(folder, "a.txt");
    const files = createFiles();
    await files.write(path, "one", 0o666);
    const before = await files.stat(path);
    await files.write(path, Buffer.from("two"), 0o600);
    const after = await files.stat(path);
    t.equal(before?.mode, 0o666);
    t.match(after, { kind: "file", mode: 0o600, size: 3, uid: 0, gid: 0 });
    t.not(after?.inode, before?.inode, "the file is replaced, so that readers of the old file keep the old content");
    t.equal((await files.read(path))?.toString(), "two");
    t.same(await readdir(folder), ["a.txt"]);
  },
);

t.test("a write succeeds despite temporary files left by a crash", async (t) => {
  const folder = await folderFor(t);
  await writeFile(join(folder, ".a.txt.khw-new"), "half");
  await createFiles().write(join(folder, "a.txt"), "whole", 0o644);
  t.same(await readdir(folder), ["a.txt"]);
});

t.test("reading, listing or removing a missing file is not an error", async (t) => {
  const files = createFiles();
  const path = join(await folderFor(t), "none", "at all");
  t.equal(await files.stat(path), undefined);
  t.equal(await files.read(path), undefined);
  t.equal(await files.sha256(path), undefined);
  t.same(await files.list(path), []);
  await files.remove(path);
  t.ok((await files.available(path)) > 0, "the free space of the nearest existing folder is returned");
});

t.test("a failed write is reported with the requested path", async (t) => {
  const files = createFiles();
  const path = join(await folderFor(t), "none", "a.txt");
  await t.rejects(files.write(path, "x", 0o644), {
    code: "IO_FAILED",
    message: `${path}: cannot write: no such file or directory`,
  });
  await t.rejects(files.write("/proc/version", "x", 0o644), { code: "IO_FAILED" });
});

t.test("a full disk is reported as such, and no partial file remains", async (t) => {
  const folder = await folderFor(t);
  await run("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
  t.teardown(() => run("umount", [folder]));
  const files = createFiles();
  const path = join(folder, "big");
  await files.write(path, "small", 0o644);
  const error = await files.write(path, Buffer.alloc(1024 * 1024), 0o644).catch((error: KhwError) => error);
  t.match(error, {
    code: "IO_FAILED",
    message: `${path}: cannot write: no space left on device`,
    hint: /disk is full/,
  });
  t.equal((await files.read(path))?.toString(), "small");
  t.same(await readdir(folder), ["big"]);
  await run("mount", ["-o", "remount,ro", folder]);
  await t.rejects(files.write(path, "x", 0o644), { code: "IO_FAILED", hint: /read-only/ });
});

t.test("the digest reflects every change, even one that keeps the size and modification time", async (t) => {
  const path = join(await folderFor(t), "a.txt");
  const files = createFiles();
  await writeFile(path, "one");
  t.equal(await files.sha256(path), sha256("one"));
  await writeFile(path, "two");
  t.equal(await files.sha256(path), sha256("two"), "a change within one tick of the kernel's clock is noticed");
  await setTimeout(50);
  t.equal(await files.sha256(path), sha256("two"));
  const { atime, mtime } = await stat(path);
  await writeFile(path, "six");
  await utimes(path, atime, mtime);
  t.equal(await files.sha256(path), sha256("six"), "a change is noticed even if the modification time was set back");
  await appendFile(path, "teen");
  t.equal(await files.sha256(path), sha256("sixteen"));
});

t.test("a cached file is read again after it is changed or replaced", async (t) => {
  const folder = await folderFor(t);
  const path = join(folder, "ca.pem");
  const files = createFiles();
  t.equal(await files.readOften(path), undefined);
  await writeFile(path, "one");
  await setTimeout(30);
  const first = await files.readOften(path);
  t.equal(first?.toString(), "one");
  t.equal(await files.readOften(path), first, "the second read returns the content from memory");
  await writeFile(path, "two");
  t.equal((await files.readOften(path))?.toString(), "two");
  await files.write(path, "new", 0o600);
  t.equal((await files.readOften(path))?.toString(), "new");
  await rm(path);
  t.equal(await files.readOften(path), undefined);
});

t.test("the digest of an unchanged file is cached across all its hard links", async (t) => {
  const folder = await folderFor(t);
  const [path, other] = [join(folder, "a"), join(folder, "b")];
  const files = createFiles();
  const size = 64 * 1024 * 1024;
  await files.write(path, Buffer.alloc(size, 1), 0o644);
  await files.link(path, other);
  await setTimeout(50);
  const time = async (path: string): Promise<number> => {
    const start = performance.now();
    await files.sha256(path);
    return performance.now() - start;
  };
  const first = await time(path);
  const second = Math.min(await time(other), await time(path), await time(other));
  t.ok(
    second < first / 5,
    `the second call takes less than a fifth of the time of the first call: ${first.toFixed(1)} ms, then ${second.toFixed(2)} ms`,
  );
});

t.test(
  "symbolic links are recognized, hard links share an inode, and a new link replaces an existing file",
  async (t) => {
    const folder = await folderFor(t);
    const files = createFiles();
    const [file, soft, hard] = [join(folder, "file"), join(folder, "soft"), join(folder, "hard")];
    await files.write(file, "x", 0o755);
    await files.write(soft, "old", 0o644);
    await files.write(hard, "old", 0o644);
    for (let times = 0; times < 2; times++) {
      await files.symlink(file, soft);
      await files.link(file, hard);
    }
    t.match(await files.stat(soft), { kind: "symlink", target: file });
    t.equal((await files.stat(hard))?.inode, (await files.stat(file))?.inode);
    t.equal((await files.read(soft))?.toString(), "x");
    t.same((await readdir(folder)).toSorted(), ["file", "hard", "soft"]);
  },
);

/** Polls for the folders as fast as possible. Records the mode of each folder as soon as the folder exists. */
const observer = `
  const { parentPort, workerData: { paths } } = require("node:worker_threads");
  const { lstatSync } = require("node:fs");
  const modes = [];
  parentPort.postMessage("ready");
  for (const path of paths) {
    let stats;
    while ((stats = lstatSync(path, { throwIfNoEntry: false })) === undefined);
    modes.push(stats.mode & 0o7777);
  }
  parentPort.postMessage(modes);
`;

t.test("a folder has the requested mode from the moment it appears, regardless of the umask", async (t) => {
  const folder = await folderFor(t);
  const files = createFiles();
  const paths = Array.from({ length: 100 }, (_, index) => join(folder, `${index}`, "below"));
  const worker = new Worker(observer, { eval: true, workerData: { paths } });
  const [ready] = await once(worker, "message");
  t.equal(ready, "ready");
  const before = process.umask(0o077);
  t.teardown(() => process.umask(before));
  const seen = once(worker, "message");
  for (const path of paths) await files.mkdir(path, 0o755);
  const [modes] = await seen;
  t.strictSame([...new Set<unknown>(modes)], [0o755]);
});

t.test("parallel steps can create the same parent folders, even if a crash has left files behind", async (t) => {
  const folder = await folderFor(t);
  const files = createFiles();
  await writeFile(join(folder, ".lib.khw-new"), "half a file");
  const paths = ["one", "two", "three"].map((name) => join(folder, "lib", "khw", name));
  await Promise.all(paths.map((path) => files.mkdir(path, 0o755)));
  t.strictSame(await readdir(folder), ["lib"]);
  t.strictSame((await readdir(join(folder, "lib", "khw"))).toSorted(), ["one", "three", "two"]);
});

t.test("a file that exists in place of a folder is reported by path and not changed", async (t) => {
  const folder = await folderFor(t);
  const path = join(folder, "a");
  await writeFile(path, "a file");
  await t.rejects(createFiles().mkdir(path, 0o755), {
    code: "IO_FAILED",
    message: `${path}: cannot create the folder: not a directory`,
  });
  t.strictSame(await readdir(folder), ["a"]);
});

t.test("folders are created with their parents, and everything except non-empty folders can be removed", async (t) => {
  const folder = await folderFor(t);
  const files = createFiles();
  const deep = join(folder, "a", "b");
  await files.mkdir(deep, 0o700);
  await files.mkdir(deep, 0o755);
  t.equal((await files.stat(join(folder, "a")))?.mode, 0o700, "a parent folder is created with the same mode");
  t.equal((await files.stat(deep))?.mode, 0o700, "an existing folder keeps its mode");
  await files.write(join(deep, "x"), "", 0o644);
  await t.rejects(files.remove(deep), { code: "IO_FAILED", message: /not empty/ });
  await files.rename(join(deep, "x"), join(folder, "y"));
  await files.remove(deep);
  await files.remove(join(folder, "y"));
  t.same(await files.list(folder), ["a"]);
});
