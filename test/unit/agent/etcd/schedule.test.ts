import t from "tap";
import { createSchedule, isDue, type ScheduleOptions } from "../../../../agent/etcd/snapshots/schedule.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { Snapshot, SnapshotOrigin } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeClock } from "../../../fakes/os.ts";
import { never } from "../../../fixtures/machine.ts";

const hour = 3_600_000;

/** Creates a schedule that keeps its snapshots in memory, and records the schedule's messages. */
function schedule(changes: Partial<ScheduleOptions> = {}) {
  const clock = createFakeClock();
  const snapshotStore: Snapshot[] = [];
  const told: string[] = [];
  const uploaded: string[] = [];
  const faults = { save: "", upload: "", refused: "" };
  const made = createSchedule({
    clock,
    snapshots: {
      list: async () => snapshotStore,
      save: async (origin) => {
        if (faults.save !== "") throw new KhwError("NOT_READY", faults.save);
        const snapshot = Snapshot.fromPartial({ id: `s${snapshotStore.length}`, origin, takenUnixMillis: clock.now() });
        snapshotStore.push(snapshot);
        return snapshot;
      },
      prune: async () => {},
      noteUpload: async (id, url) => {
        const index = snapshotStore.findIndex((one) => one.id === id);
        snapshotStore[index] = { ...(snapshotStore[index] ?? Snapshot.fromPartial({})), uploaded: url };
      },
    },
    policy: () => ({ intervalMillis: hour, keep: 2, bucket: "b" }),
    place: () => ({ index: 0, count: 3 }),
    paused: () => false,
    upload: async ({ id }) => {
      if (faults.refused === id) throw new KhwError("IO_FAILED", "it exists already, and differs");
      if (faults.upload !== "") throw new KhwError("IO_FAILED", faults.upload);
      uploaded.push(id);
      return `gs://b/${id}`;
    },
    told: (message, cause) => void told.push(cause === undefined ? message : `${message}: ${cause}`),
    signal: never,
    ...changes,
  });
  return { clock, snapshotStore, told, uploaded, faults, ...made };
}

t.test(
  "the first snapshot is taken immediately, and each later snapshot is taken one interval after the previous one",
  async (t) => {
    const { clock, snapshotStore, beat } = schedule();
    await beat();
    await beat();
    t.equal(snapshotStore.length, 1);
    clock.advance(hour - 1);
    await beat();
    t.equal(snapshotStore.length, 1);
    clock.advance(1);
    await beat();
    t.equal(snapshotStore.length, 2);
    t.equal(snapshotStore[1]?.origin, SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED);
  },
);

t.test("three controllers take snapshots in turn, each in its own part of the interval", async (t) => {
  const due = (index: number, last: number, now: number): boolean =>
    isDue(last, now, { intervalMillis: hour, index, count: 3 });
  const [first, second, third] = [100 * hour, 100 * hour + hour / 3, 100 * hour + (2 * hour) / 3];
  t.same(
    [0, 1, 2].map((index) => due(index, first - 1, first)),
    [true, false, false],
  );
  t.same(
    [0, 1, 2].map((index) => due(index, first, second)),
    [false, true, false],
  );
  t.same(
    [0, 1, 2].map((index) => due(index, second, third)),
    [false, false, true],
  );
});

t.test("a restarted agent keeps the snapshot schedule", async (t) => {
  const clock = createFakeClock();
  const earlier = Snapshot.fromPartial({
    origin: SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED,
    takenUnixMillis: clock.now(),
    uploaded: "gs://b/x",
  });
  const { snapshotStore, beat } = schedule({ clock });
  snapshotStore.push(earlier);
  await beat();
  t.equal(snapshotStore.length, 1);
});

t.test("no snapshot is taken if there is no snapshot policy, or during a restore", async (t) => {
  for (const change of [{ policy: () => undefined }, { paused: () => true }]) {
    const { snapshotStore, beat } = schedule(change);
    await beat();
    t.equal(snapshotStore.length, 0);
  }
});

t.test("a failed snapshot is reported and retried at growing intervals", async (t) => {
  const { clock, snapshotStore, told, faults, beat, lastRun } = schedule();
  faults.save = "etcd does not answer";
  await beat();
  t.match(told, [/was not taken: etcd does not answer/]);
  t.match(lastRun(), { problem: /does not answer/ });
  await beat();
  t.equal(told.length, 1, "a failed snapshot is not retried at once");
  clock.advance(72_000);
  await beat();
  t.equal(told.length, 2, "the snapshot is retried within 72 s of the first failure");
  clock.advance(90_000);
  await beat();
  t.equal(told.length, 2, "the snapshot is not retried within 90 s of the second failure");
  faults.save = "";
  clock.advance(60_000);
  await beat();
  t.equal(snapshotStore.length, 1);
  t.match(lastRun(), { problem: "" });
});

t.test(
  "a snapshot that could not be uploaded is reported, kept, and uploaded together with the next snapshot",
  async (t) => {
    const { clock, snapshotStore, told, uploaded, faults, beat, lastRun } = schedule();
    faults.upload = "403";
    await beat();
    t.match(told.at(-1), /s0 was not uploaded to gs:\/\/b: 403/);
    t.match(lastRun(), { problem: "403" });
    faults.upload = "";
    clock.advance(hour);
    await beat();
    t.same(uploaded, ["s0", "s1"]);
    t.same(
      snapshotStore.map((one) => one.uploaded),
      ["gs://b/s0", "gs://b/s1"],
    );
  },
);

t.test("a refused upload is reported and does not block later uploads", async (t) => {
  const { clock, told, uploaded, faults, beat, lastRun } = schedule();
  faults.refused = "s0";
  await beat();
  clock.advance(hour);
  await beat();
  t.same(uploaded, ["s1"]);
  t.match(told.at(-1), /s0 was not uploaded to gs:\/\/b: it exists already/);
  t.match(lastRun(), { problem: /exists already/ });
});

t.test(
  "failed uploads are reported together, and a failure that affects all uploads stops further attempts",
  async (t) => {
    const { clock, snapshotStore, told, faults, beat } = schedule();
    faults.upload = "403";
    await beat();
    clock.advance(hour);
    await beat();
    t.match(told.at(-1), /s0 was not uploaded to gs:\/\/b, nor s1: 403/);
    let asked = 0;
    const upload = async () => {
      asked++;
      throw new KhwError("METADATA_UNAVAILABLE", "no answer");
    };
    const other = schedule({ upload });
    other.snapshotStore.push(...snapshotStore);
    await other.taken();
    t.equal(asked, 1);
  },
);
