import t from "tap";
import { otherUpgradeObstacles } from "../../../../client/release/other-upgrade.ts";
import { Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const { UPGRADE_STATE_RUNNING: isRunning, UPGRADE_STATE_STOPPED: stopped } = UpgradeState;

/** Returns the obstacles for three nodes, the first `upgraded` of which run v1.21.0, and the others v1.20.2. */
function found(wanted: string, { upgraded = 0, allowDowngrade = false, ...record }: Options = {}): string[] {
  const running = [0, 1, 2].map((index) => ({
    node: `controller-${index}`,
    version: index < upgraded ? "v1.21.0" : "v1.20.2",
  }));
  const last = Upgrade.fromPartial({
    fromVersion: "v1.20.2",
    toVersion: "v1.21.0",
    holder: "alice",
    begunUnixMillis: Date.parse("2026-11-30T10:00:00Z"),
    state: isRunning,
    ...record,
  });
  return otherUpgradeObstacles(last, { running, wanted, allowDowngrade }).map(({ message }) => message);
}

interface Options extends Partial<Upgrade> {
  readonly upgraded?: number;
  readonly allowDowngrade?: boolean;
}

t.test("a running upgrade to another release is an obstacle, and the message names its administrator", (t) => {
  const message =
    /^the upgrade from v1\.20\.2 to v1\.21\.0, started by alice at 2026-11-30 10:00:00.*, has not ended, and this command would apply /;
  t.match(found("v1.20.2"), [message], "no node has changed yet");
  t.match(found("v1.21.1", { upgraded: 1 }), [message]);
  t.end();
});

t.test("the same upgrade may continue, and the administrator may go back", (t) => {
  t.strictSame(found("v1.21.0", { upgraded: 1 }), []);
  t.strictSame(found("v1.20.2", { upgraded: 1, allowDowngrade: true }), []);
  t.end();
});

t.test("an upgrade that stopped, or has no node left to change, is not an obstacle", (t) => {
  t.strictSame(found("v1.21.1", { state: stopped }), []);
  t.strictSame(found("v1.21.1", { upgraded: 3 }), []);
  t.strictSame(found("v1.21.0", { restoresSnapshot: true }), []);
  t.strictSame(otherUpgradeObstacles(undefined, { running: [], wanted: "v1.21.0", allowDowngrade: false }), []);
  t.end();
});
