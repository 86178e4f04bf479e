import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { createArchives } from "../../../../agent/os/archives.ts";

const signal = AbortSignal.timeout(30_000);

t.test("only the requested files are unpacked, without the folder that contains them", async (t) => {
  const folder = t.testdir({ "etcd-v1": { etcd: "server", etcdctl: "tool", "README.md": "words" }, to: {} });
  const archive = join(folder, "etcd-v1.tar.gz");
  execFileSync("tar", ["-C", folder, "-czf", archive, "etcd-v1"]);
  const to = join(folder, "to");
  await createArchives().extract({ archive, members: ["etcd-v1/etcd", "etcd-v1/etcdctl"], to, signal });
  t.strictSame((await readdir(to)).toSorted(), ["etcd", "etcdctl"]);
  t.equal(await readFile(join(to, "etcd"), "utf8"), "server");
});

t.test("the error says whether an archive is invalid or lacks a requested file", async (t) => {
  const folder = t.testdir({ inside: { etcd: "server" } });
  const to = join(folder, "to");
  await mkdir(to);
  const archive = join(folder, "a.tar.gz");
  await writeFile(archive, "no archive");
  const extract = () => createArchives().extract({ archive, members: ["inside/etcdctl"], to, signal });
  await t.rejects(extract(), { code: "IO_FAILED", message: /a\.tar\.gz cannot be unpacked: .+/ });
  execFileSync("tar", ["-C", folder, "-czf", archive, "inside"]);
  await t.rejects(extract(), { code: "IO_FAILED", message: /etcdctl: Not found in archive/ });
});
