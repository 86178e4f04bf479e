import { lstat, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { createFile, refuseExisting } from "../../../../client/files/create.ts";

const hint = "choose another file";

t.test("a new file and its folder are readable only by their owner", async (t) => {
  const path = join(t.testdir(), "made", "new");
  await refuseExisting(path, hint);
  await createFile(path, "text", hint);
  t.equal(await readFile(path, "utf8"), "text");
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.equal((await stat(join(path, ".."))).mode & 0o777, 0o700);
});

t.test("an existing file, folder or broken link at the path is refused and never changed", async (t) => {
  const folder = t.testdir({ file: "mine", folder: {} });
  await symlink("absent", join(folder, "link"));
  for (const name of ["file", "folder", "link"]) {
    const path = join(folder, name);
    const refusal = { code: "INVALID_ARGUMENT", message: `${path} already exists`, hint };
    await t.rejects(refuseExisting(path, hint), refusal);
    await t.rejects(createFile(path, "text", hint), refusal, "a file that appears after the check is not overwritten");
  }
  t.equal(await readFile(join(folder, "file"), "utf8"), "mine");
  await t.rejects(lstat(join(folder, "absent")), { code: "ENOENT" });
});

t.test("a path that contains a file in place of a folder is an error", async (t) => {
  const path = join(t.testdir({ file: "mine" }), "file", "new");
  await t.rejects(refuseExisting(path, hint), { code: "IO_FAILED" });
  await t.rejects(createFile(path, "text", hint), { code: "IO_FAILED" });
});
