import { chmod, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { createEtcdctl } from "../../../../agent/etcd/etcdctl.ts";
import { createFiles } from "../../../../agent/os/files.ts";
import { run } from "../../../../agent/os/run.ts";
import { never } from "../../../fixtures/machine.ts";

/**
 * A shell script that imitates etcdctl. A snapshot is a text file, and the restored database contains the same text.
 */
const program = `#!/bin/sh
for word in "$@"; do case $word in --data-dir=*) folder=\${word#--data-dir=};; esac; done
case "$*" in
  *"snapshot restore"*) [ -e "$folder" ] && { echo "Error: $folder exists" >&2; exit 1; }
    mkdir -p "$folder/member/snap" && cat "$3" >"$folder/member/snap/db" && echo "$*" >"$folder/member/said" ;;
  *"snapshot status"*) echo 'a line of its log'; echo '{"hash":255,"revision":7,"totalKey":3,"totalSize":20480}' ;;
  *) echo 'Error: context deadline exceeded' >&2; echo 'and more' >&2; exit 5 ;;
esac
`;

/**
 * Creates a fake machine with the fake etcdctl. If `etcdutl` is true, etcdctl cannot restore a snapshot, as in etcd
 * 3.6.
 */
async function machine(t: Pick<Test, "testdir">, { etcdutl = false } = {}) {
  const refusing = "#!/bin/sh\necho 'Error: unknown command' >&2; exit 1\n";
  const folder = t.testdir({
    etcdctl: etcdutl ? refusing : program,
    ...(etcdutl && { etcdutl: program }),
    "s.db": "restored",
  });
  await chmod(join(folder, "etcdctl"), 0o755);
  if (etcdutl) await chmod(join(folder, "etcdutl"), 0o755);
  const launched: (readonly string[])[] = [];
  const etcdctl = createEtcdctl({
    systemd: { stop: async () => {} },
    files: createFiles(),
    program: join(folder, "etcdctl"),
    offline: join(folder, "etcdutl"),
    launch: async ([file = "", ...args], { signal }) => {
      launched.push([file, ...args]);
      return run([file, ...args], { signal });
    },
  });
  const data = join(folder, "data");
  const restoring = {
    name: "controller-0",
    peerUrl: "https://10.240.0.10:2380",
    initialCluster: "controller-0=https://10.240.0.10:2380",
    token: "khw-restore-1",
    data,
    fresh: join(data, ".khw-restore-1"),
    aside: join(data, "before-restore-1"),
    signal: never,
  };
  const text = (...path: string[]): Promise<string> =>
    readFile(join(data, ...path), "utf8").then((content) => content.trim());
  return { folder, data, etcdctl, restoring, launched, text, snapshot: join(folder, "s.db") };
}

t.test("a restore replaces the member's data and keeps the old data as a backup", async (t) => {
  const { data, etcdctl, restoring, text, snapshot } = await machine(t);
  await mkdir(join(data, "member/snap"), { recursive: true });
  await writeFile(join(data, "member/snap/db"), "of before");
  await etcdctl.replaceData(snapshot, restoring);
  t.equal(await text("member/snap/db"), "restored");
  t.equal(await text("before-restore-1/snap/db"), "of before");
  t.match(await text("member/said"), /--name=controller-0 .*--initial-cluster-token=khw-restore-1/);
  await writeFile(join(data, "member/snap/db"), "gone on");
  await etcdctl.replaceData(snapshot, restoring);
  t.equal(
    await text("member/snap/db"),
    "gone on",
    "a second restore from the same snapshot does not replace the data again",
  );
  await etcdctl.tidyData(restoring.fresh, never);
  t.same((await readdir(data)).toSorted(), ["before-restore-1", "member"]);
});

t.test("a restore creates no backup if the member has no old data", async (t) => {
  const { data, etcdctl, restoring, text, snapshot } = await machine(t);
  await etcdctl.replaceData(snapshot, restoring);
  t.equal(await text("member/snap/db"), "restored");
  t.notOk((await readdir(data)).includes("before-restore-1"));
});

t.test("a restore that was interrupted at any point is completed by the next run", async (t) => {
  const points: Readonly<Record<string, (data: string) => Promise<void>>> = {
    "while it was restored": async (data) => {
      await mkdir(join(data, ".khw-restore-1.partial/member/snap"), { recursive: true });
      await mkdir(join(data, "member/snap"), { recursive: true });
      await writeFile(join(data, "member/snap/db"), "of before");
    },
    "before the first move": async (data) => {
      await mkdir(join(data, ".khw-restore-1/member/snap"), { recursive: true });
      await writeFile(join(data, ".khw-restore-1/member/snap/db"), "restored");
      await mkdir(join(data, "member/snap"), { recursive: true });
      await writeFile(join(data, "member/snap/db"), "of before");
    },
    "between the moves": async (data) => {
      await mkdir(join(data, ".khw-restore-1/member/snap"), { recursive: true });
      await writeFile(join(data, ".khw-restore-1/member/snap/db"), "restored");
      await mkdir(join(data, "before-restore-1/snap"), { recursive: true });
      await writeFile(join(data, "before-restore-1/snap/db"), "of before");
    },
    "after the moves": async (data) => {
      await mkdir(join(data, ".khw-restore-1"), { recursive: true });
      await mkdir(join(data, "member/snap"), { recursive: true });
      await writeFile(join(data, "member/snap/db"), "restored");
      await mkdir(join(data, "before-restore-1/snap"), { recursive: true });
      await writeFile(join(data, "before-restore-1/snap/db"), "of before");
    },
  };
  for (const [point, make] of Object.entries(points)) {
    const { data, etcdctl, restoring, text, snapshot } = await machine(t);
    await rm(data, { recursive: true, force: true });
    await make(data);
    await etcdctl.replaceData(snapshot, restoring);
    t.equal(await text("member/snap/db"), "restored", point);
    t.equal(await text("before-restore-1/snap/db"), "of before", point);
  }
});

t.test("the snapshot status that etcdctl prints is parsed even if log lines surround it", async (t) => {
  const { etcdctl, snapshot } = await machine(t);
  t.same(await etcdctl.inspect(snapshot, never), { hash: "000000ff", revision: 7, keys: 3 });
});

t.test(
  "a failure is reported with etcdctl's own error message, and a missing program is reported by name",
  async (t) => {
    const { folder, etcdctl, snapshot } = await machine(t);
    const save = etcdctl.save(join(folder, "x.db"), {
      server: "https://127.0.0.1:2379",
      ca: "/etc/etcd/ca.pem",
      certificate: "/etc/etcd/kubernetes.pem",
      key: "/etc/etcd/kubernetes-key.pem",
      signal: never,
    });
    await t.rejects(save, { code: "IO_FAILED", message: /exited with 5: Error: context deadline exceeded$/ });
    await rm(join(folder, "etcdctl"));
    await t.rejects(etcdctl.inspect(snapshot, never), { code: "PROGRAM_MISSING", message: /is not installed/ });
  },
);

t.test("etcdctl receives the paths of key files, not the keys themselves", async (t) => {
  const { etcdctl, launched, folder } = await machine(t);
  const key = "/etc/etcd/kubernetes-key.pem";
  const tls = { ca: "/etc/etcd/ca.pem", certificate: "/etc/etcd/kubernetes.pem", key };
  await t.rejects(etcdctl.save(join(folder, "x.db"), { server: "https://127.0.0.1:2379", ...tls, signal: never }));
  t.ok(launched[0]?.includes(`--key=${key}`));
});

t.test("etcdutl is used to inspect and restore snapshots if the release contains it", async (t) => {
  const { etcdctl, folder, restoring, text, snapshot } = await machine(t, { etcdutl: true });
  t.strictSame(await etcdctl.inspect(snapshot, never), { revision: 7, keys: 3, hash: "000000ff" });
  await etcdctl.restore(snapshot, join(folder, "scratch"), restoring);
  await etcdctl.replaceData(snapshot, restoring);
  t.equal(await text("member/snap/db"), "restored");
});
