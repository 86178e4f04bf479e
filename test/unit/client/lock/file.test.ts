import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import t from "tap";
import type { LockEntry } from "../../../../client/lock/entries.ts";
import { addToLock, readLock } from "../../../../client/lock/file.ts";
import { digest } from "../../../fixtures/machine.ts";

const root = await mkdtemp(join(tmpdir(), "khw-lock-"));
t.teardown(() => rm(root, { recursive: true }));

async function lockPath(text?: string): Promise<string> {
  const path = join(await mkdtemp(join(root, "case-")), "khw.lock");
  if (text !== undefined) await writeFile(path, text, { mode: 0o644 });
  return path;
}

function entry(program: string, version = "v1.21.0", content = program): LockEntry {
  const source = `https://dl.k8s.io/release/${version}/bin/linux/amd64/${program}`;
  return { program, version, arch: "amd64", sha256: digest(content), source, signatures: [] };
}

/** Adds the entries in a separate process. */
async function addElsewhere(path: string, entries: readonly LockEntry[]) {
  const program = join(import.meta.dirname, "../../../fixtures/lock-writer.ts");
  const child = spawn(process.execPath, [program, path, ...entries.map((each) => JSON.stringify(each))]);
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
  return { code: Number(code), stderr };
}

t.test("digests are recorded once, in a fixed order, and can be read back", async (t) => {
  const path = await lockPath();
  t.strictSame(await readLock(path), [], "a missing file has no entries");
  t.strictSame(await addToLock(path, [entry("kubectl"), entry("kube-apiserver")]), [
    entry("kubectl"),
    entry("kube-apiserver"),
  ]);
  t.strictSame(await readLock(path), [entry("kube-apiserver"), entry("kubectl")]);
  const written = await readFile(path, "utf8");
  t.strictSame(JSON.parse(written), { version: 1, programs: [entry("kube-apiserver"), entry("kubectl")] });
  t.equal((await stat(path)).mode & 0o777, 0o644);
  t.strictSame(await addToLock(path, [entry("kubectl")]), [], "an entry that is already recorded is not new");
  t.equal(await readFile(path, "utf8"), written);
  await addToLock(path, [entry("kubectl", "v1.22.0")]);
  t.equal((await readLock(path)).length, 3, "another release of a program has a separate entry");
  t.strictSame(await readdir(join(path, "..")), ["khw.lock"], "no temporary file is left");
});

t.test("another digest for a recorded program is refused, and the file is unchanged", async (t) => {
  const path = await lockPath();
  await addToLock(path, [entry("kubectl")]);
  const before = await readFile(path, "utf8");
  await t.rejects(addToLock(path, [entry("kube-scheduler"), entry("kubectl", "v1.21.0", "tampered")]), {
    code: "DIGEST_MISMATCH",
    message: new RegExp(
      `^kubectl v1\\.21\\.0 \\(amd64\\): SHA-256 is ${digest("tampered")} .*khw\\.lock has ${digest("kubectl")}`,
    ),
    hint: /remove the entry from .*khw\.lock/,
  });
  t.equal(await readFile(path, "utf8"), before);
});

t.test("a damaged lock file is refused with its name and the position of the error", async (t) => {
  const good = entry("kubectl");
  const lock = (...programs: unknown[]): string => JSON.stringify({ version: 1, programs });
  for (const [written, message] of [
    ["", /khw\.lock cannot be used: it is not JSON/],
    ["<<<<<<< HEAD\n{}", /it is not JSON/],
    ["[]", /it is not a list of programs/],
    ['{"version": 1}', /it is not a list of programs/],
    ['{"version": 2, "programs": []}', /its version is "2", not 1/],
    [lock(good, good), /it has kubectl v1\.21\.0 \(amd64\) twice/],
    [lock(good, { ...good, program: "KUBECTL" }), /programs\[1\] cannot be used: its program is .*KUBECTL/],
    [lock({ ...good, sha256: "d".repeat(63) }), /programs\[0\] cannot be used: its sha256 is/],
    [lock({ ...good, version: "1.21" }), /its version is/],
    [lock({ ...good, arch: 1 }), /its arch is "1"/],
    [lock({ ...good, source: "a\nb" }), /its source is/],
    [lock({ ...good, signatures: "none" }), /its signatures are not a list/],
    [lock({ ...good, sha512: "" }), /a field that this khw-client does not know: "sha512"/],
    [lock(null), /programs\[0\] cannot be used: it is not an entry/],
  ] as const) {
    const path = await lockPath(written);
    await t.rejects(readLock(path), { code: "CONFIG_INVALID", message }, written);
    await t.rejects(
      addToLock(path, [good]),
      { code: "CONFIG_INVALID", message },
      "a file that cannot be read is never replaced",
    );
    t.equal(await readFile(path, "utf8"), written);
  }
  await t.rejects(
    readLock(root),
    { code: "CONFIG_INVALID", message: /cannot be (read|used)/ },
    "a folder cannot be read as a lock file",
  );
});

t.test("the signatures of an entry are kept when other entries are added", async (t) => {
  const signed = { ...entry("kubectl"), signatures: [{ kind: "cosign", value: "MEUC" }] };
  const path = await lockPath(JSON.stringify({ version: 1, programs: [signed] }));
  await addToLock(path, [entry("kube-scheduler")]);
  t.strictSame((await readLock(path))[1], signed);
});

t.test("like khw.yaml, khw.lock is refused if others can write to it or if it belongs to another user", async (t) => {
  const path = await lockPath();
  await addToLock(path, [entry("kubectl")]);
  for (const mode of [0o664, 0o646]) {
    await chmod(path, mode);
    await t.rejects(readLock(path), { code: "CONFIG_INVALID", message: /may write to it/, hint: /chmod go-w/ });
    await t.rejects(addToLock(path, [entry("kubectl")]), { code: "CONFIG_INVALID" });
  }
  await chmod(path, 0o644);
  await chown(path, 65_534, 65_534);
  await t.rejects(readLock(path), { code: "CONFIG_INVALID", message: /belongs to user 65534/ });
});

t.test("a symlink is kept, and the entries are written to its target", async (t) => {
  const [target, path] = [await lockPath(), await lockPath()];
  await symlink(target, path);
  await addToLock(path, [entry("kubectl")]);
  t.strictSame(await readLock(target), [entry("kubectl")]);
});

t.test("clients that write at the same time keep each other's entries", async (t) => {
  const path = await lockPath();
  const letters = ["a", "b", "c", "d"];
  const named = (letter: string): LockEntry[] => Array.from({ length: 8 }, (_, index) => entry(`${letter}${index}`));
  const ends = await Promise.all(letters.map((letter) => addElsewhere(path, named(letter))));
  t.strictSame(
    ends.map(({ code, stderr }) => `${code}${stderr}`),
    ["0", "0", "0", "0"],
  );
  t.strictSame(await readLock(path), letters.flatMap(named));
  const two = await Promise.all(
    ["one", "two"].map((content) => addElsewhere(path, [entry("kubectl", "v1.21.0", content)])),
  );
  t.strictSame(
    two.map(({ code }) => code).toSorted((a, b) => a - b),
    [0, 1],
    "exactly one of two different digests is recorded",
  );
  t.match(two.map(({ stderr }) => stderr).join(""), /DIGEST_MISMATCH/);
  t.strictSame(await readdir(join(path, "..")), ["khw.lock"], "no temporary file is left");
});

t.test("a client that was killed while writing does not block other clients", async (t) => {
  const path = await lockPath();
  await writeFile(`${path}.busy`, "4194305");
  await addToLock(path, [entry("kubectl")]);
  t.strictSame(await readLock(path), [entry("kubectl")]);
});

t.test("the error names a folder that is not writable", async (t) => {
  const path = "/proc/khw.lock";
  await t.rejects(addToLock(path, [entry("kubectl")]), {
    code: "IO_FAILED",
    message: /\/proc\/khw\.lock.*cannot be written/,
  });
});
