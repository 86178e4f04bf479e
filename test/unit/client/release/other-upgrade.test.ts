import t from "tap";
import { otherUpgradeObstacles } from "../../../../client/release/other-upgrade.ts";
import { DrainReason, Maintenance, Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const { UPGRADE_STATE_RUNNING: running, UPGRADE_STATE_STOPPED: stopped } = UpgradeState;
const rollingUpdate = DrainReason.DRAIN_REASON_ROLLING_UPDATE;
const now = Date.parse("2026-11-30T10:00:00Z");

interface Options extends Partial<Upgrade> {
  readonly secondsAgo?: number;
  readonly reason?: DrainReason;
  readonly allowDowngrade?: boolean;
}

/** Returns the obstacles if an upgrade from v1.20.2 to v1.21.0 has drained controller-0. */
function found(
  wanted: string,
  { secondsAgo = 5, reason = rollingUpdate, allowDowngrade = false, ...record }: Options = {},
): string[] {
  const maintenance = Maintenance.fromPartial({ drained: true, reason, sinceUnixMillis: now - secondsAgo * 1_000 });
  const nodes = [
    {
      node: "controller-0",
      maintenance,
      clockUnixMillis: now,
      begunUnixMillis: record.begunUnixMillis ?? now - 3_600_000,
    },
    { node: "controller-1", maintenance: undefined, clockUnixMillis: now, begunUnixMillis: 0 },
  ];
  const facts = { fromVersion: "v1.20.2", toVersion: "v1.21.0", holder: "alice", begunUnixMillis: now - 3_600_000 };
  const last = Upgrade.fromPartial({ ...facts, state: running, ...record });
  return otherUpgradeObstacles(last, { wanted, allowDowngrade, nodes }).map(
    ({ node = "?", message }) => `${node}: ${message}`,
  );
}

t.test("a command for another release is refused while an upgrade works on its first node", (t) => {
  t.match(found("v1.20.2"), [
    /^controller-0: the upgrade from v1\.20\.2 to v1\.21\.0, started by alice at .*, has just drained this node, but this command would apply v1\.20\.2$/,
  ]);
  t.end();
});

t.test("the same upgrade may continue, and an administrator may go back", (t) => {
  t.strictSame(found("v1.21.0"), []);
  t.strictSame(found("v1.20.2", { allowDowngrade: true }), []);
  t.end();
});

t.test("an upgrade that has stopped, or whose client was killed earlier, is not an obstacle", (t) => {
  t.strictSame(found("v1.20.2", { state: stopped }), []);
  t.strictSame(found("v1.20.2", { secondsAgo: 61 }), []);
  t.strictSame(found("v1.20.2", { begunUnixMillis: now - 1_000 }), [], "an earlier command drained the node");
  t.strictSame(found("v1.20.2", { reason: DrainReason.DRAIN_REASON_UNSPECIFIED }), []);
  t.strictSame(otherUpgradeObstacles(undefined, { wanted: "v1.21.0", allowDowngrade: false, nodes: [] }), []);
  t.end();
});
