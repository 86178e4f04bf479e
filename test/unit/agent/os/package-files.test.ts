import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { aptCommand, createPackageFiles } from "../../../../agent/os/package-files.ts";

const never = new AbortController().signal;
const files = {
  read: async (path: string) => (path.endsWith("/khw-agent.md5sums") ? Buffer.from("ab  usr/x\n") : undefined),
};
const packages = createPackageFiles(files);

/** Builds a Debian package with the real dpkg-deb. */
async function pack(t: Test, control: string, sums?: string): Promise<string> {
  const folder = t.testdir();
  await mkdir(join(folder, "tree/DEBIAN"), { recursive: true });
  const known = "Maintainer: khw <khw@example.com>\nDescription: a test\n";
  await writeFile(join(folder, "tree/DEBIAN/control"), `${control}\n${known}`);
  if (sums !== undefined) await writeFile(join(folder, "tree/DEBIAN/md5sums"), sums);
  const deb = join(folder, "a.deb");
  await promisify(execFile)("dpkg-deb", ["--root-owner-group", "--build", join(folder, "tree"), deb]);
  return deb;
}

t.test("the fields of a package are read with dpkg-deb", async (t) => {
  const control = "Package: khw-agent\nVersion: 1:0.2.0~rc1-1\nArchitecture: arm64";
  const deb = await pack(t, control, "ab  usr/x\ncd  usr/y with a blank\n");
  t.strictSame(await packages.inspect(deb, never), {
    name: "khw-agent",
    version: "1:0.2.0~rc1-1",
    architecture: "arm64",
    sums: "ab  usr/x\ncd  usr/y with a blank",
  });
  t.match(await packages.inspect(await pack(t, control), never), { version: "1:0.2.0~rc1-1", sums: "" });
});

t.test("the file digests of a package equal those that dpkg records after installation", async (t) => {
  const deb = await pack(t, "Package: khw-agent\nVersion: 0.2.0\nArchitecture: all", "ab  usr/x\n");
  const { sums } = await packages.inspect(deb, never);
  t.equal(sums, await packages.installedSums("khw-agent"));
  t.equal(await packages.installedSums("other"), "");
});

t.test("a file that is not a package is refused with dpkg-deb's message", async (t) => {
  const folder = t.testdir({ "a.deb": "!<arch>\ndebian-binary   cut", "b.deb": "" });
  for (const name of ["a.deb", "b.deb", "missing.deb"]) {
    await t.rejects(packages.inspect(join(folder, name), never), { code: "INVALID_ARGUMENT", message: /dpkg-deb/ });
  }
});

t.test("a truncated package is refused, although its fields can be read", async (t) => {
  const deb = await pack(t, "Package: khw-agent\nVersion: 0.2.0\nArchitecture: all");
  const whole = await readFile(deb);
  await writeFile(deb, whole.subarray(0, whole.length - 40));
  await t.rejects(packages.inspect(deb, never), { code: "INVALID_ARGUMENT", message: /dpkg-deb cannot read/ });
});

t.test("versions are compared by Debian's rules", async (t) => {
  const older = (a: string, b: string) => packages.isOlder(a, b, never);
  t.equal(await older("0.9.0", "0.10.0"), true);
  t.equal(await older("0.2.0~rc1", "0.2.0"), true);
  t.equal(await older("0.2.0", "0.2.0"), false);
  t.equal(await older("1:0.1.0", "0.9.0"), false);
});

t.test("apt can install only the given file and runs non-interactively", async (t) => {
  const command = aptCommand("/x/a.deb", ["--allow-downgrades"]);
  t.strictSame(command.slice(-2), ["install", "/x/a.deb"]);
  t.ok(["--yes", "--no-remove", "--allow-downgrades"].every((option) => command.includes(option)));
});
