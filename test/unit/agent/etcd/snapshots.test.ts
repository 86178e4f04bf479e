import t from "tap";
import { objectName } from "../../../../agent/etcd/snapshots/record.ts";
import { openSnapshotStore } from "../../../../agent/etcd/snapshots/store.ts";
import { createSnapshots } from "../../../../agent/etcd/snapshots/snapshots.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { EtcdMember, Snapshot, SnapshotOrigin } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { digest, never } from "../../../fixtures/machine.ts";

const folder = "/var/lib/khw-agent/snapshots";
const { SNAPSHOT_ORIGIN_REQUESTED: requested, SNAPSHOT_ORIGIN_SCHEDULED: scheduled } = SnapshotOrigin;

/** Creates a fake machine with an etcd member at this revision. */
async function machine({ revision = 1, inUse = [] as string[] } = {}) {
  const os = createFakeOs();
  const reports: string[] = [];
  const open = async () => {
    const { files, largeFiles } = os;
    const report = (damage: string): void => void reports.push(damage);
    const snapshotStore = await openSnapshotStore({ files, largeFiles, folder, report });
    const member = async () => EtcdMember.fromPartial({ revision, dbSize: 10, clusterId: "c1", version: "3.4.23" });
    return createSnapshots({ os, snapshotStore, member, inUse: () => inUse });
  };
  return { os, snapshots: await open(), reopen: open, reports };
}

async function* bytes(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

t.test("a snapshot is stored with its verified revision and is readable by root only", async (t) => {
  const { os, snapshots, reopen } = await machine();
  os.etcdctl.content = "content";
  const taken = await snapshots.save(requested, never);
  t.match(taken, { node: "controller-0", revision: 7, keys: 1, clusterId: "c1", sha256: digest("content"), size: 7 });
  t.equal(taken.id, "20240101T000000Z-controller-0");
  t.same(await (await reopen()).list(), [taken], "a restarted agent lists the snapshot");
  t.equal((await os.files.stat(`${folder}/${taken.id}.db`))?.mode, 0o600);
  t.equal((await os.files.stat(`${folder}/${taken.id}.json`))?.mode, 0o600);
  t.equal((await os.files.stat(folder))?.mode, 0o700);
  t.same(
    (await os.files.list(folder)).filter((name) => name.startsWith(".")),
    [],
    "the verification leaves no temporary file behind",
  );
  t.equal(snapshots.newest()?.id, taken.id);
});

t.test("the entries for the members, which a restore replaces, do not count", async (t) => {
  const { os, snapshots } = await machine();
  os.etcdctl.keysAt = (path) => (path.endsWith("/db") ? 11_841 : 11_843);
  t.match(await snapshots.save(requested, never), { keys: 11_843 });
});

t.test("a snapshot that cannot be verified is reported and discarded", async (t) => {
  const cases = [
    ["the restored data has a different revision", { restoring: (content: string) => `${content}+` }, 1],
    ["the restored data lacks keys", { keysAt: (path: string) => (path.endsWith("/db") ? 1 : 2_000) }, 1],
    ["the snapshot's revision is older than the member's", {}, 99],
  ] as const;
  for (const [title, fault, revision] of cases) {
    const { os, snapshots } = await machine({ revision });
    Object.assign(os.etcdctl, fault);
    await t.rejects(snapshots.save(requested, never), { code: "POSTCONDITION_FAILED" }, title);
    t.same(await os.files.list(folder), [], title);
  }
});

t.test("a failed save leaves nothing behind, and the next save succeeds", async (t) => {
  const { os, snapshots } = await machine();
  os.etcdctl.complaint = "etcdctl exited with 5: Error: context deadline exceeded";
  await t.rejects(snapshots.save(requested, never), { code: "IO_FAILED" });
  os.etcdctl.complaint = "";
  await snapshots.save(requested, never);
  t.equal((await snapshots.list()).length, 1);
});

t.test("a save is refused if there is not enough disk space for the verification", async (t) => {
  const { os, snapshots } = await machine();
  os.files.free = 5;
  await t.rejects(snapshots.save(requested, never), { code: "IO_FAILED", message: /need/ });
  t.same(os.etcdctl.calls, []);
});

t.test("a snapshot that was changed on disk no longer counts as verified", async (t) => {
  const { os, snapshots } = await machine();
  const { id } = await snapshots.save(requested, never);
  t.equal((await snapshots.verify(id, never)).id, id);
  os.files.put(`${folder}/${id}.db`, "tampered");
  await t.rejects(snapshots.verify(id, never), { code: "DIGEST_MISMATCH" });
  t.same(await snapshots.list(), []);
  await t.rejects(snapshots.verify(id, never), { code: "INVALID_ARGUMENT" });
  t.equal(os.files.text(`${folder}/${id}.db`), "tampered", "the snapshot's file is unchanged");
});

t.test("the record of a snapshot is kept if the verification cannot be completed because a tool fails", async (t) => {
  const { os, snapshots } = await machine();
  const { id } = await snapshots.save(requested, never);
  os.etcdctl.restore = async () => {
    throw new KhwError("IO_FAILED", "no space left on device");
  };
  await t.rejects(snapshots.verify(id, never), { code: "IO_FAILED" });
  t.equal((await snapshots.list()).length, 1);
});

t.test("a received snapshot that does not match its announced size and digest is discarded", async (t) => {
  const { os, snapshots } = await machine();
  const announced = Snapshot.fromPartial({ id: "from-afar", size: 6, sha256: digest("abcdef"), node: "controller-2" });
  await t.rejects(snapshots.receive(announced, bytes("abc", "deX"), never), { code: "DIGEST_MISMATCH" });
  await t.rejects(snapshots.receive(announced, bytes("abc", "defg"), never), { code: "INVALID_ARGUMENT" });
  t.same(await os.files.list(folder), []);
  const received = await snapshots.receive(announced, bytes("abc", "def"), never);
  t.match(received, { node: "controller-2", revision: 6, origin: SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED });
  t.same(
    await snapshots.receive(announced, bytes(), never),
    received,
    "a snapshot that already exists is not received again",
  );
  t.equal(snapshots.newest(), undefined, "a copied snapshot does not count as this machine's own snapshot");
});

t.test("a snapshot name that contains a path is refused", async (t) => {
  const { snapshots } = await machine();
  for (const id of ["../target", ".hidden", "", "a/b"]) {
    const announced = Snapshot.fromPartial({ id, size: 1, sha256: digest("a") });
    await t.rejects(snapshots.receive(announced, bytes("a"), never), { code: "INVALID_ARGUMENT" }, id);
    await t.rejects(snapshots.verify(id, never), { code: "INVALID_ARGUMENT" }, id);
    await t.rejects(snapshots.read(id), { code: "INVALID_ARGUMENT" }, id);
  }
});

t.test("pruning keeps the newest snapshots of each origin and all snapshots that are in use", async (t) => {
  const inUse: string[] = [];
  const { os, snapshots } = await machine({ inUse });
  const ids: string[] = [];
  for (const origin of [scheduled, scheduled, requested, scheduled]) {
    ids.push((await snapshots.save(origin, never)).id);
    os.clock.advance(60_000);
  }
  inUse.push(ids[0] ?? "");
  await snapshots.prune(1);
  t.same(
    (await snapshots.list()).map(({ id }) => id),
    [ids[0], ids[2], ids[3]],
  );
});

t.test("a damaged snapshot record is reported once, by name, and the other snapshots are still listed", async (t) => {
  const { os, snapshots, reports } = await machine();
  const good = await snapshots.save(requested, never);
  os.clock.advance(60_000);
  const bad = await snapshots.save(requested, never);
  const [record, file] = [`${folder}/${bad.id}.json`, `${folder}/${bad.id}.db`];
  const sound = os.files.text(record) ?? "";
  for (const text of [
    "",
    "{",
    "null",
    "[]",
    sound.slice(0, -20),
    sound.replace(/"taken": "[^"]*"/, '"taken": "yesterday"'),
    sound.replace(/"proved": "[^"]*"/, '"proved": "+275760-09-13T00:00:00.000Z"'),
    sound.replace(/"size": \d+/, '"size": -1'),
    sound.replace(/"revision": \d+/, '"revision": 1e300'),
  ]) {
    reports.length = 0;
    os.files.put(record, text, 0o600);
    t.same(await snapshots.list(), [good], text);
    t.same(await snapshots.list(), [good]);
    t.strictSame(
      reports,
      [`${record} is damaged: the snapshot ${bad.id} is not listed, and will never be deleted`],
      text,
    );
    await t.rejects(snapshots.find(bad.id), { code: "INVALID_ARGUMENT", message: `${record} is damaged` });
    await snapshots.prune(1);
    t.equal(os.files.text(record), text, "no file of the damaged snapshot is deleted");
    t.ok(await os.files.stat(file));
    os.files.put(record, sound, 0o600);
    t.same((await snapshots.list()).length, 2, "a snapshot whose record is repaired is listed again");
  }
  reports.length = 0;
  await os.files.remove(file);
  t.same(await snapshots.list(), [good]);
  t.strictSame(reports, [`${file} is missing: the snapshot ${bad.id} is not listed, and will never be deleted`]);
});

t.test("files left by a killed agent are removed, and a snapshot file without a record is ignored", async (t) => {
  const { os, reopen } = await machine();
  os.files.put(`${folder}/.x.db.draft`, "half");
  os.files.put(`${folder}/.x.scratch/member/snap/db`, "half");
  os.files.put(`${folder}/y.db`, "whole, but not proved");
  os.files.put(`${folder}/z.json`, "{}");
  t.same(await (await reopen()).list(), []);
  t.same((await os.files.list(folder)).toSorted(), ["y.db", "z.json"]);
});

t.test("clusters with the same name use different object names in a bucket", (t) => {
  const snapshot = { id: "20240101T000000Z-controller-0", clusterId: "c1" };
  t.equal(objectName("kubernetes", snapshot), "kubernetes/c1/20240101T000000Z-controller-0.db");
  t.not(objectName("kubernetes", snapshot), objectName("kubernetes", { ...snapshot, clusterId: "c2" }));
  t.end();
});

t.test("pruning counts snapshots that have a recorded purpose separately from all other snapshots", async (t) => {
  const { os, snapshots } = await machine();
  const names: string[] = [];
  for (const purpose of ["upgrade from v1.20.2 to v1.21.0", "", ""]) {
    const { id } = await snapshots.save(requested, never, purpose);
    names.push(id);
    os.clock.advance(1_000);
  }
  await snapshots.prune(1);
  const left = await snapshots.list();
  t.strictSame(
    left.map(({ id }) => id),
    [names[0], names[2]],
  );
  t.equal(left[0]?.purpose, "upgrade from v1.20.2 to v1.21.0", "the snapshot's purpose is stored on disk");
});
