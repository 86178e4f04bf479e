import t from "tap";
import { chooseCourse, configuredCourse } from "../../../../client/upgrade/course.ts";
import type { NodeSnapshot } from "../../../../client/etcd/snapshots.ts";
import { Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const { UPGRADE_STATE_DONE: done, UPGRADE_STATE_STOPPED: stopped } = UpgradeState;

/** The release of each node. "v1.32.1 as 1.31" means that v1.32.1 emulates 1.31. */
const running = (...versions: readonly string[]) =>
  versions.map((text, index) => {
    const [version = "", emulates] = text.split(" as ");
    return { node: `controller-${index}`, version, ...(emulates !== undefined && { emulates }) };
  });
const recorded = (fromVersion: string, toVersion: string, state: UpgradeState) =>
  Upgrade.fromPartial({ id: "u", fromVersion, toVersion, state, snapshotId: "20260131T120000Z-controller-1" });
const taken = "2026-01-31T12:00:00.123Z";
const snapshots = [
  {
    snapshot: Snapshot.fromPartial({
      id: "20260131T120000Z-controller-1",
      purpose: "upgrade from v1.20.2 to v1.21.0",
      takenUnixMillis: Date.parse(taken),
    }),
    nodes: ["controller-1"],
  },
];
const forward = (to: string, versions: readonly string[], last?: Upgrade) =>
  chooseCourse({ to, back: false, running: running(...versions), last, snapshots });
const back = (versions: readonly string[], last?: Upgrade, kept: readonly NodeSnapshot[] = snapshots) =>
  chooseCourse({ to: "", back: true, running: running(...versions), last, snapshots: kept });

t.test("an upgrade starts from the oldest running release", (t) => {
  const course = forward("v1.22.3", ["v1.21.0", "v1.21.0"]);
  t.strictSame(course, { from: "v1.21.0", to: "v1.22.3", direction: "forward", unfinished: undefined });
  t.end();
});

t.test("a stopped upgrade continues with its ID, but a finished upgrade is not continued", (t) => {
  const last = recorded("v1.20.2", "v1.21.0", stopped);
  t.match(forward("v1.21.0", ["v1.21.0", "v1.20.2"], last), { from: "v1.20.2", unfinished: { id: "u" } });
  t.equal(forward("v1.21.0", ["v1.20.2"], last).unfinished, undefined, "no node runs the new release");
  t.equal(forward("v1.21.1", ["v1.21.0"], recorded("v1.20.2", "v1.21.0", done)).unfinished, undefined);
  t.end();
});

t.test("upgrade requires either --to or --back, and a running control plane", (t) => {
  const all = { running: running("v1.21.0"), last: undefined, snapshots };
  t.throws(() => chooseCourse({ to: "", back: false, ...all }), { code: "INVALID_ARGUMENT", message: /either --to/ });
  t.throws(() => chooseCourse({ to: "v1.22.0", back: true, ...all }), { code: "INVALID_ARGUMENT" });
  t.throws(() => forward("1.22", ["v1.21.0"]), { code: "INVALID_ARGUMENT", message: /not a Kubernetes release/ });
  t.throws(() => forward("v1.22.0", []), { code: "RELEASE_REFUSED", hint: "run khw-client bootstrap" });
  t.end();
});

t.test("upgrade --back reverts an unfinished minor upgrade, whether or not it is recorded", (t) => {
  const last = recorded("v1.20.2", "v1.21.0", stopped);
  t.match(back(["v1.21.0", "v1.20.2"], last), { from: "v1.21.0", to: "v1.20.2", direction: "back" });
  t.match(back(["v1.21.0", "v1.20.2"]), { from: "v1.21.0", to: "v1.20.2" });
  t.end();
});

t.test("upgrade --back reverts a finished patch upgrade, and can be repeated afterwards", (t) => {
  const last = recorded("v1.21.0", "v1.21.1", done);
  t.match(back(["v1.21.1", "v1.21.1"], last), { from: "v1.21.1", to: "v1.21.0", direction: "back" });
  t.match(back(["v1.21.0", "v1.21.0"], last), { to: "v1.21.0" });
  t.end();
});

t.test(
  "upgrade --back continues after an interruption before the first node, between two nodes or after the last node",
  (t) => {
    const last = recorded("v1.21.1", "v1.21.0", stopped);
    for (const versions of [
      ["v1.21.1", "v1.21.1"],
      ["v1.21.0", "v1.21.1"],
      ["v1.21.0", "v1.21.0"],
    ]) {
      const course = back(versions, last);
      t.strictSame(course, { from: "v1.21.1", to: "v1.21.0", direction: "back", unfinished: last }, versions.join());
    }
    t.end();
  },
);

t.test(
  "after a finished minor upgrade, --back states the snapshot, the data loss and the exact command to use",
  (t) => {
    t.throws(() => back(["v1.21.0"], recorded("v1.20.2", "v1.21.0", done)), {
      code: "RELEASE_REFUSED",
      message:
        /snapshot 20260131T120000Z-controller-1 .*2026-01-31T12:00:00\.123Z.* everything written since then would be lost/,
      hint: /khw-client upgrade --back --lose-since 2026-01-31T12:00:00\.123Z; or .* newer patch release/,
    });
    const gone = { message: /no node still has the snapshot 20260131T120000Z-controller-1/, hint: /^fix the problem/ };
    t.throws(() => back(["v1.21.0"], recorded("v1.20.2", "v1.21.0", done), []), gone);
    const external = { ...recorded("v1.20.2", "v1.21.0", done), snapshotId: "" };
    t.throws(() => back(["v1.21.0"], external), { message: /no snapshot was taken/ });
    t.end();
  },
);

t.test("a stopped upgrade --back continues in the same direction", (t) => {
  const last = recorded("v1.21.0", "v1.20.2", stopped);
  t.match(back(["v1.21.0", "v1.20.2"], last), { from: "v1.21.0", to: "v1.20.2" });
  t.match(back(["v1.21.1", "v1.21.0"], recorded("v1.21.1", "v1.21.0", stopped)), { to: "v1.21.0" });
  t.end();
});

t.test("upgrade --back never reverts a restore that has begun", (t) => {
  const restoring = { ...recorded("v1.21.0", "v1.20.2", stopped), restoresSnapshot: true };
  for (const versions of [["v1.21.0"], ["v1.21.0", "v1.20.2"]]) {
    t.throws(() => back(versions, restoring), { code: "RELEASE_REFUSED", hint: /--lose-since 2026-01-31T12/ });
  }
  const restored = { ...restoring, state: done };
  t.throws(() => back(["v1.20.2"], restored), { message: /the last upgrade was to v1\.20\.2/ });
  t.throws(
    () => back(["v1.21.0"], restored),
    { message: /every node runs v1\.21\.0/ },
    "upgrade --back is refused if another command has upgraded the cluster again",
  );
  t.end();
});

t.test("upgrade --back is refused without a record, or if the release was changed by another command", (t) => {
  t.throws(() => back(["v1.21.0"]), { code: "RELEASE_REFUSED", message: /no upgrade is recorded/ });
  t.throws(() => back(["v1.22.0"], recorded("v1.20.2", "v1.21.0", done)), {
    message: /the last upgrade was to v1\.21\.0/,
  });
  t.throws(() => back(["v1.21.0"], recorded("v1.21.1", "v1.21.0", done)), {
    message: /the last upgrade was to v1\.21\.0/,
  });
  t.end();
});

t.test("an upgrade --back that was interrupted between two nodes keeps its direction", (t) => {
  const last = recorded("v1.21.1", "v1.21.0", stopped);
  t.match(back(["v1.21.0", "v1.21.1"], last), { from: "v1.21.1", to: "v1.21.0", direction: "back" });
  t.end();
});

t.test("upgrade --back reverts a finished minor upgrade as long as all nodes still emulate the old release", (t) => {
  const last = { ...recorded("v1.31.4", "v1.32.1", done), emulatedVersion: "1.31" };
  const emulating = ["v1.32.1 as 1.31", "v1.32.1 as 1.31"];
  t.match(back(emulating, last), { from: "v1.32.1", to: "v1.31.4", direction: "back" });
  const refused = { code: "RELEASE_REFUSED", message: /is finished/ };
  t.throws(
    () => back(["v1.32.1 as 1.31", "v1.32.1"], last),
    refused,
    "upgrade --back is refused if a node has ended the emulation",
  );
  t.throws(
    () => back(emulating, { ...last, emulatedVersion: "" }),
    refused,
    "upgrade --back is refused if the upgrade ended the emulation",
  );
  t.end();
});

t.test("upgrade --back cannot revert the end of an emulation", (t) => {
  const last = recorded("v1.32.1", "v1.32.1", stopped);
  t.throws(() => back(["v1.32.1 as 1.31", "v1.32.1"], last), {
    code: "RELEASE_REFUSED",
    message: /ended an emulation/,
    hint: /khw-client upgrade --to v1\.32\.1/,
  });
  t.match(forward("v1.32.1", ["v1.32.1 as 1.31", "v1.32.1"], last), { from: "v1.32.1", unfinished: { id: "u" } });
  t.end();
});

t.test("bootstrap has a course only if the release changes or an upgrade is unfinished", (t) => {
  const course = (to: string, versions: readonly string[], last?: Upgrade) =>
    configuredCourse(running(...versions), to, last);
  t.equal(course("v1.21.0", []), undefined, "a new cluster");
  t.equal(course("v1.21.0", ["v1.21.0"], recorded("v1.20.2", "v1.21.0", done)), undefined);
  t.match(course("v1.21.0", ["v1.20.2", "v1.20.2"]), { from: "v1.20.2", direction: "forward", unfinished: undefined });
  t.match(course("v1.21.0", ["v1.21.1", "v1.21.0"]), { from: "v1.21.1", to: "v1.21.0", direction: "back" });
  const last = recorded("v1.20.2", "v1.21.0", stopped);
  t.match(course("v1.21.0", ["v1.21.0", "v1.21.0"], last), { from: "v1.20.2", unfinished: { id: "u" } });
  t.match(course("v1.21.1", ["v1.21.0", "v1.21.0"], last), { from: "v1.21.0", unfinished: undefined });
  t.end();
});
