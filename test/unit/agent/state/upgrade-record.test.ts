import t from "tap";
import { openHistory } from "../../../../agent/history/history.ts";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import { openUpgradeRecord } from "../../../../agent/state/upgrade-record.ts";
import { Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";

const folder = "/var/lib/khw-agent";
const id = "0f8fad5b-d9cb-469f-a165-70867728950e";
const begun = Upgrade.fromPartial({
  id,
  fromVersion: "v1.20.2",
  toVersion: "v1.21.0",
  state: UpgradeState.UPGRADE_STATE_RUNNING,
});

async function open(os: FakeOs = createFakeOs()) {
  const { files, clock } = os;
  const statusStore = createStatusStore(undefined);
  const history = await openHistory({ files, clock, folder, log: () => {} });
  const record = await openUpgradeRecord({ os, folder, statusStore, history });
  return { os, record, statusStore, history };
}

t.test("the agent records who started an upgrade and when, and keeps the record across a restart", async (t) => {
  const { os, record, statusStore } = await open();
  await record.save(begun, "alice");
  const first = statusStore.read().upgrade;
  t.match(first, { holder: "alice", fromVersion: "v1.20.2" });
  os.clock.advance(60_000);
  const again = await open(os);
  t.strictSame(again.statusStore.read().upgrade, first);
  const stopped = { ...begun, state: UpgradeState.UPGRADE_STATE_STOPPED, report: "a gate\nfailed" };
  const saved = await again.record.save(stopped, "bob");
  t.match(saved, { holder: "alice", begunUnixMillis: first?.begunUnixMillis, report: /^a gate.*failed$/ });
  t.equal(saved.changedUnixMillis, (first?.changedUnixMillis ?? 0) + 60_000);
});

t.test("an invalid upgrade record is refused, and nothing is written", async (t) => {
  const { os, record } = await open();
  const before = os.changes().length;
  for (const wrong of [
    undefined,
    { ...begun, id: "u" },
    { ...begun, state: UpgradeState.UPGRADE_STATE_UNSPECIFIED },
    { ...begun, toVersion: "latest" },
    { ...begun, snapshotId: "../x" },
    { ...begun, emulatedVersion: "v1.31.4" },
  ]) {
    await t.rejects(record.save(wrong, "alice"), { code: "INVALID_ARGUMENT" });
  }
  t.equal(os.changes().length, before);
});
