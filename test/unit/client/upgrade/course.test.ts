import t from "tap";
import { chooseCourse } from "../../../../client/upgrade/course.ts";
import { Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const { UPGRADE_STATE_DONE: done, UPGRADE_STATE_STOPPED: stopped } = UpgradeState;

const running = (...versions: readonly string[]) =>
  versions.map((version, index) => ({ node: `controller-${index}`, version }));
const recorded = (fromVersion: string, toVersion: string, state: UpgradeState) =>
  Upgrade.fromPartial({ id: "u", fromVersion, toVersion, state, snapshotId: "20260131T120000Z-controller-1" });
const forward = (to: string, versions: readonly string[], last?: Upgrade) =>
  chooseCourse({ to, back: false, running: running(...versions), last });
const back = (versions: readonly string[], last?: Upgrade) =>
  chooseCourse({ to: "", back: true, running: running(...versions), last });

t.test("an upgrade begins at the oldest running release", (t) => {
  const course = forward("v1.22.3", ["v1.21.0", "v1.21.0"]);
  t.strictSame(course, { from: "v1.21.0", to: "v1.22.3", direction: "forward", unfinished: undefined });
  t.end();
});

t.test("an upgrade that stopped goes on under its id; one that is done does not", (t) => {
  const last = recorded("v1.20.2", "v1.21.0", stopped);
  t.match(forward("v1.21.0", ["v1.21.0", "v1.20.2"], last), { from: "v1.20.2", unfinished: { id: "u" } });
  t.equal(forward("v1.21.1", ["v1.21.0"], recorded("v1.20.2", "v1.21.0", done)).unfinished, undefined);
  t.end();
});

t.test("either --to or --back is wanted, and a running control plane", (t) => {
  const all = { running: running("v1.21.0"), last: undefined };
  t.throws(() => chooseCourse({ to: "", back: false, ...all }), { code: "INVALID_ARGUMENT", message: /either --to/ });
  t.throws(() => chooseCourse({ to: "v1.22.0", back: true, ...all }), { code: "INVALID_ARGUMENT" });
  t.throws(() => forward("1.22", ["v1.21.0"]), { code: "INVALID_ARGUMENT", message: /not a Kubernetes release/ });
  t.throws(() => forward("v1.22.0", []), { code: "RELEASE_REFUSED", hint: "run khw-client bootstrap" });
  t.end();
});

t.test("the way back from an unfinished minor, recorded or not", (t) => {
  const last = recorded("v1.20.2", "v1.21.0", stopped);
  t.match(back(["v1.21.0", "v1.20.2"], last), { from: "v1.21.0", to: "v1.20.2", direction: "back" });
  t.match(back(["v1.21.0", "v1.20.2"]), { from: "v1.21.0", to: "v1.20.2" });
  t.end();
});

t.test("the way back from a finished patch; nothing is left to do after it", (t) => {
  const last = recorded("v1.21.0", "v1.21.1", done);
  t.match(back(["v1.21.1", "v1.21.1"], last), { from: "v1.21.1", to: "v1.21.0", direction: "back" });
  t.match(back(["v1.21.0", "v1.21.0"], last), { to: "v1.21.0" });
  t.end();
});

t.test("after a finished minor, the error names the snapshot and what it would cost", (t) => {
  t.throws(() => back(["v1.21.0"], recorded("v1.20.2", "v1.21.0", done)), {
    code: "RELEASE_REFUSED",
    message: /snapshot 20260131T120000Z-controller-1 .* everything written since then would be lost/,
    hint: /newer patch release; docs\/upgrades\.md/,
  });
  const external = { ...recorded("v1.20.2", "v1.21.0", done), snapshotId: "" };
  t.throws(() => back(["v1.21.0"], external), { message: /no snapshot was taken/ });
  t.end();
});

t.test("without a record, and after another change of the release, there is no way back", (t) => {
  t.throws(() => back(["v1.21.0"]), { code: "RELEASE_REFUSED", message: /no upgrade is recorded/ });
  t.throws(() => back(["v1.22.0"], recorded("v1.20.2", "v1.21.0", done)), {
    message: /the last upgrade was to v1\.21\.0/,
  });
  t.throws(() => back(["v1.21.0"], recorded("v1.21.1", "v1.21.0", done)), {
    message: /the last upgrade was to v1\.21\.0/,
  });
  t.end();
});
