import t from "tap";
import { etcdProblems, type NodeEtcd } from "../../../../client/etcd/overview.ts";
import { chooseSnapshot, nodeSnapshots } from "../../../../client/etcd/snapshots.ts";
import { KhwError } from "../../../../proto/errors.ts";
import {
  EtcdMember,
  Restore,
  RestorePhase,
  Snapshot,
  SnapshotOrigin,
} from "../../../../proto/gen/khw/agent/v1/etcd.ts";

const node = (index: number, changes: Partial<EtcdMember> = {}): NodeEtcd => ({
  node: `controller-${index}`,
  status: {
    member: EtcdMember.fromPartial({ memberId: `m${index}`, clusterId: "c", leaderId: "m0", ...changes }),
    reason: "",
    restore: undefined,
  },
});
const three = (...changes: Partial<EtcdMember>[]): NodeEtcd[] => [0, 1, 2].map((index) => node(index, changes[index]));

t.test("three members of the same cluster with a common leader are healthy", async (t) => {
  t.same(etcdProblems(three()), []);
});

t.test("every problem with a member is reported together with the member's node", async (t) => {
  const unfinished = Restore.fromPartial({ id: "r", snapshotId: "s", phase: RestorePhase.RESTORE_PHASE_RESTORED });
  const cases: readonly (readonly [NodeEtcd[], RegExp])[] = [
    [three({}, { leaderId: "" }), /controller-1: it has no leader/],
    [three({}, {}, { learner: true }), /controller-2: it is a learner/],
    [three({ errors: ["memberID:1 alarm:NOSPACE"] }), /controller-0: memberID:1 alarm:NOSPACE/],
    [three({}, { clusterId: "d" }), /belong to 2 clusters: c, d/],
    [three({}, { leaderId: "m1" }), /do not agree on the leader/],
    [
      [node(0), { node: "controller-1", error: new KhwError("UNREACHABLE", "no connection") }],
      /controller-1: .*no connection/,
    ],
    [
      [node(0), { node: "controller-1", status: { member: undefined, reason: "refused", restore: undefined } }],
      /does not answer: refused/,
    ],
    [[{ ...node(0), status: { member: undefined, reason: "", restore: unfinished } }], /restore of s is unfinished/],
  ];
  for (const [nodes, problem] of cases) t.match(etcdProblems(nodes).join("\n"), problem);
});

const taken = (id: string, minute: number, changes: Partial<Snapshot> = {}): Snapshot =>
  Snapshot.fromPartial({
    id,
    sha256: id,
    node: "controller-0",
    takenUnixMillis: minute * 60_000,
    revision: minute,
    clusterId: "c",
    ...changes,
  });
const on = (name: string, ...snapshots: Snapshot[]) => ({ name, value: { snapshots, lastRun: undefined } });

t.test("a snapshot and its copies on other nodes are listed once, with the origin of the snapshot", async (t) => {
  const copy = taken("a", 1, { origin: SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED });
  const original = taken("a", 1, { origin: SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED });
  const held = nodeSnapshots([on("controller-0", copy), on("controller-1", original, taken("b", 2))]);
  t.same(
    held.map(({ snapshot, nodes }) => [snapshot.id, snapshot.origin, nodes]),
    [
      ["a", SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED, ["controller-0", "controller-1"]],
      ["b", SnapshotOrigin.SNAPSHOT_ORIGIN_UNSPECIFIED, ["controller-1"]],
    ],
  );
});

t.test('"latest" selects the newest snapshot, and a name selects the snapshot with that name', async (t) => {
  const held = nodeSnapshots([on("controller-0", taken("a", 1), taken("b", 2))]);
  t.equal(chooseSnapshot(held, "latest").snapshot.id, "b");
  t.equal(chooseSnapshot(held, "a").snapshot.id, "a");
  t.throws(() => chooseSnapshot(held, "c"), { code: "INVALID_ARGUMENT" });
  t.throws(() => chooseSnapshot([], "latest"), { code: "INVALID_ARGUMENT" });
});

t.test("a snapshot file that was copied to a node is never selected as the latest snapshot", async (t) => {
  const file = taken("file-old", 900, { node: "", clusterId: "" });
  const held = nodeSnapshots([on("controller-0", taken("a", 1), file)]);
  t.equal(chooseSnapshot(held, "latest").snapshot.id, "a");
  t.equal(chooseSnapshot(held, "file-old").snapshot.id, "file-old");
  const files = nodeSnapshots([on("controller-0", file)]);
  t.throws(() => chooseSnapshot(files, "latest"), { code: "INVALID_ARGUMENT", message: /come from files/ });
});

t.test("the newest snapshot is not selected as the latest if it was taken after etcd had been emptied", async (t) => {
  const emptied = nodeSnapshots([on("controller-0", taken("full", 900), taken("empty", 901, { revision: 3 }))]);
  t.throws(() => chooseSnapshot(emptied, "latest"), { code: "INVALID_ARGUMENT", hint: /restore full/ });
  t.equal(chooseSnapshot(emptied, "empty").snapshot.id, "empty");
  const restored = [taken("full", 900), taken("later", 901, { revision: 3, clusterId: "restored" })];
  t.equal(chooseSnapshot(nodeSnapshots([on("controller-0", ...restored)]), "latest").snapshot.id, "later");
});
