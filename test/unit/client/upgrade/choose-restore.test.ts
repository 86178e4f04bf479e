import t from "tap";
import { chooseRestore, type RestoreFacts } from "../../../../client/upgrade/choose-restore.ts";
import { Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { Restore, RestorePhase, Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";

const { UPGRADE_STATE_DONE: done, UPGRADE_STATE_STOPPED: stopped } = UpgradeState;
const time = "2026-01-31T12:00:00.123Z";
const running = (...versions: readonly string[]) =>
  versions.map((version, index) => ({ node: `controller-${index}`, version }));
const upgraded = Upgrade.fromPartial({
  id: "u",
  fromVersion: "v1.20.2",
  toVersion: "v1.21.0",
  state: done,
  snapshotId: "marked",
});
const restoring = {
  ...upgraded,
  fromVersion: "v1.21.0",
  toVersion: "v1.20.2",
  state: stopped,
  restoresSnapshot: true,
};
const marked = (changes: Partial<Snapshot> = {}) => ({
  snapshot: Snapshot.fromPartial({
    id: "marked",
    purpose: "upgrade from v1.20.2 to v1.21.0",
    takenUnixMillis: Date.parse(time),
    etcdVersion: "3.4.23",
    ...changes,
  }),
  nodes: ["controller-1"],
});
const choose = (changes: Partial<RestoreFacts> = {}, kubernetes = ["v1.21.0", "v1.21.0"], etcd = ["v3.4.15"]) =>
  chooseRestore({
    time,
    last: upgraded,
    running: { kubernetes: running(...kubernetes), etcd: running(...etcd) },
    etcd: [],
    snapshots: [marked()],
    ...changes,
  });
const restoreOn = (node: string, changes: Partial<Restore> = {}) => ({
  node,
  status: {
    member: undefined,
    reason: "",
    restore: Restore.fromPartial({
      id: "begun",
      snapshotId: "marked",
      phase: RestorePhase.RESTORE_PHASE_ETCD_STOPPED,
      kubernetesVersion: "v1.20.2",
      ...changes,
    }),
  },
});

t.test("a finished minor upgrade is undone with its own snapshot, and etcd keeps its release", (t) => {
  t.match(choose(), { from: "v1.21.0", to: "v1.20.2", etcd: "v3.4.15", stage: "begin" });
  t.match(choose(), { snapshot: { snapshot: { id: "marked" } }, restoreId: /^[0-9a-f-]{36}$/ });
  t.end();
});

t.test("a --lose-since time that differs from the snapshot's time is refused with both times", (t) => {
  for (const other of ["2026-01-31T12:00:00.124Z", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00.123+01:00", "now"]) {
    t.throws(() => choose({ time: other }), {
      code: "INVALID_ARGUMENT",
      message: `--lose-since is ${other}, but the snapshot marked was taken at ${time}`,
    });
  }
  t.end();
});

t.test("only the snapshot marked for the last upgrade is accepted", (t) => {
  const refused = { code: "RELEASE_REFUSED" };
  t.throws(() => choose({ last: undefined }), refused);
  t.throws(() => choose({ snapshots: [] }), { ...refused, message: /no node has the snapshot/ });
  t.throws(() => choose({ snapshots: [marked({ purpose: "" })] }), {
    ...refused,
    message: /no node has the snapshot/,
  });
  const other = marked({ purpose: "upgrade from v1.19.0 to v1.20.2" });
  t.throws(() => choose({ snapshots: [other] }), { ...refused, message: /no node has the snapshot/ });
  const patch = { ...upgraded, toVersion: "v1.20.3" };
  t.throws(() => choose({ last: patch }), { ...refused, hint: "run khw-client upgrade --back" });
  t.end();
});

t.test("undoing an unfinished upgrade, or a release that the upgrade did not install, is refused", (t) => {
  const refused = { code: "RELEASE_REFUSED" };
  t.throws(() => choose({}, ["v1.21.0", "v1.20.2"]), { ...refused, hint: "run khw-client upgrade --back" });
  t.throws(() => choose({}, ["v1.21.1"]), { ...refused, message: /the nodes run v1\.21\.1/ });
  t.throws(() => choose({}, ["v1.20.2"]), { ...refused, message: /the nodes run v1\.20\.2/ });
  t.end();
});

t.test("a restore that has begun on any node continues, regardless of the releases on the nodes", (t) => {
  for (const versions of [["v1.21.0"], ["v1.21.0", "v1.20.2"], ["v1.20.2"]]) {
    const course = choose({ last: restoring, etcd: [restoreOn("controller-2")] }, versions);
    t.match(course, { stage: "continue", restoreId: "begun", from: "v1.21.0", to: "v1.20.2" });
  }
  const before = choose({ etcd: [restoreOn("controller-2")] });
  t.match(
    before,
    { stage: "continue", restoreId: "begun" },
    "a restore is continued even if the client was killed before it wrote its record",
  );
  const plain = choose({ etcd: [restoreOn("controller-2", { kubernetesVersion: undefined })] });
  t.equal(plain.stage, "begin", "a restore that does not change the programs is not continued");
  t.not(plain.restoreId, "begun");
  t.end();
});

t.test("a recorded restore that no node has begun is started again, and a finished restore is not repeated", (t) => {
  t.equal(choose({ last: restoring }).stage, "begin");
  t.equal(choose({ last: restoring }, ["v1.21.0", "v1.20.2"]).stage, "begin");
  t.equal(choose({ last: restoring }, ["v1.20.2"]).stage, "done");
  const restored = { ...restoring, state: done };
  t.equal(choose({ last: restored }, ["v1.20.2"]).stage, "done");
  for (const versions of [["v1.21.0"], ["v1.21.0", "v1.20.2"]]) {
    t.throws(
      () => choose({ last: restored }, versions),
      { code: "RELEASE_REFUSED" },
      "a restore is refused if another command has upgraded the cluster again",
    );
  }
  t.end();
});

t.test("an etcd release that cannot restore the snapshot is refused", (t) => {
  const newerData = [marked({ etcdVersion: "3.5.16" })];
  t.throws(() => choose({ snapshots: newerData }), {
    code: "RELEASE_REFUSED",
    message: /etcd v3\.4\.15 cannot restore/,
  });
  t.equal(choose({ snapshots: newerData }, ["v1.21.0"], ["v3.5.30"]).etcd, "v3.5.30");
  t.equal(
    choose({}, ["v1.21.0"], ["v3.5.16"]).etcd,
    "v3.5.16",
    "a snapshot of an older minor release of etcd can be restored",
  );
  t.throws(() => choose({}, ["v1.21.0"], ["v3.5.16", "v3.4.15"]), { message: /several releases of etcd/ });
  t.throws(() => choose({}, ["v1.21.0"], []), { code: "RELEASE_UNKNOWN" });
  t.end();
});
