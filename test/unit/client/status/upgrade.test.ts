import t from "tap";
import { describeUpgrade, upgradeProgress } from "../../../../client/status/upgrade.ts";
import { GetStatusResponse, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";

interface Node {
  readonly versions: readonly string[];
  readonly state?: UpgradeState;
  readonly changed?: number;
}

const states = (...nodes: readonly Node[]) =>
  nodes.map(({ versions, state = UpgradeState.UPGRADE_STATE_RUNNING, changed = 2 }, index) => ({
    node: `controller-${index}`,
    status: GetStatusResponse.fromPartial({
      components: versions.map((version, place) => ({
        name: place === 0 ? "kube-apiserver" : "kube-scheduler",
        version,
      })),
      upgrade: {
        id: "u",
        fromVersion: "v1.20.2",
        toVersion: "v1.21.0",
        holder: "alice from 10.0.0.1:1",
        begunUnixMillis: Date.parse("2026-01-31T12:00:00Z"),
        changedUnixMillis: changed,
        state,
      },
    }),
  }));

t.test("the progress of an upgrade shows its initiator, each node's release and the next node", (t) => {
  const progress = upgradeProgress(
    states({ versions: ["v1.21.0", "v1.21.0"] }, { versions: ["v1.21.0", "v1.20.2"] }, { versions: ["v1.20.2"] }),
  );
  t.equal(progress?.next, "controller-1", "a node with an old component counts as not yet upgraded");
  t.match(
    progress === undefined ? "" : describeUpgrade(progress),
    /^Upgrade from v1\.20\.2 to v1\.21\.0, started by alice from 10\.0\.0\.1:1 at .*: running\.\n {2}v1\.21\.0: controller-0; v1\.20\.2: controller-1, controller-2\. Next: controller-1\./,
  );
  t.end();
});

t.test("a stopped upgrade is no longer in progress when all nodes run the same release", (t) => {
  const state = UpgradeState.UPGRADE_STATE_STOPPED;
  const [old, now] = [
    { versions: ["v1.20.2"], state },
    { versions: ["v1.21.0"], state },
  ];
  t.equal(upgradeProgress(states(now, old))?.next, "controller-1");
  t.equal(upgradeProgress(states(now, now)), undefined);
  t.equal(upgradeProgress(states(old, old)), undefined);
  t.end();
});

t.test("the newest upgrade record is used, and a finished upgrade is not in progress", (t) => {
  const done = { versions: ["v1.21.0"], state: UpgradeState.UPGRADE_STATE_DONE, changed: 3 };
  t.equal(upgradeProgress(states({ versions: ["v1.21.0"] }, done)), undefined);
  t.equal(upgradeProgress([{ node: "controller-0", status: GetStatusResponse.fromPartial({}) }]), undefined);
  t.end();
});

t.test("the end of an emulation counts as in progress until no node emulates a release", (t) => {
  const node = (index: number, emulatedVersion: string, state: UpgradeState) => ({
    node: `controller-${index}`,
    status: GetStatusResponse.fromPartial({
      components: [{ name: "kube-apiserver", version: "v1.32.1", emulatedVersion }],
      upgrade: { id: "u", fromVersion: "v1.32.1", toVersion: "v1.32.1", changedUnixMillis: 1, state },
    }),
  });
  const { UPGRADE_STATE_STOPPED: stopped, UPGRADE_STATE_RUNNING: running } = UpgradeState;
  for (const state of [stopped, running]) {
    const progress = upgradeProgress([node(0, "", state), node(1, "1.31", state)]);
    t.equal(progress?.next, "controller-1");
    t.match(progress === undefined ? "" : describeUpgrade(progress), /v1\.32\.1 as 1\.31: controller-1/);
  }
  t.equal(upgradeProgress([node(0, "", stopped), node(1, "", stopped)]), undefined);
  t.end();
});
