import t from "tap";
import { openRestoreRecord } from "../../../../agent/etcd/restore/record.ts";
import { createRestorer } from "../../../../agent/etcd/restore/restore.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import {
  type AdvanceRestoreRequest,
  EtcdMember,
  RestorePhase,
  Snapshot,
} from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { labMachine, never } from "../../../fixtures/machine.ts";

const phase = {
  held: RestorePhase.RESTORE_PHASE_HELD,
  kubernetes: RestorePhase.RESTORE_PHASE_KUBERNETES_STOPPED,
  stopped: RestorePhase.RESTORE_PHASE_ETCD_STOPPED,
  restored: RestorePhase.RESTORE_PHASE_RESTORED,
  started: RestorePhase.RESTORE_PHASE_ETCD_STARTED,
  finished: RestorePhase.RESTORE_PHASE_FINISHED,
} as const;
const inOrder = Object.values(phase);
const folder = "/var/lib/khw-agent";
const units = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];
const peers = ["controller-0=https://10.240.0.10:2380", "controller-1=https://10.240.0.11:2380"];

const request = (reached: RestorePhase, changes: Partial<AdvanceRestoreRequest> = {}): AdvanceRestoreRequest => ({
  restoreId: "00000000-0000-4000-8000-000000000001",
  snapshotId: "good",
  members: [
    { name: "controller-0", internalIp: "10.240.0.10" },
    { name: "controller-1", internalIp: "10.240.0.11" },
  ],
  phase: reached,
  ...changes,
});

const unused = (): never => {
  throw new Error("this restore does not change the release");
};
/** Returns a fake that fails if a restore changes the release. Records each removal of the stored desired state. */
const unusedRelease = (removals: string[]) => {
  return { check: unused, store: unused, install: unused, forget: async () => void removals.push("removed") };
};

/** Creates the first of two controllers. All its units are running, and it has a snapshot named "good". */
async function controller() {
  const os = labMachine();
  const unitText = (unit: string): string =>
    unit === "etcd"
      ? `[Service]\nExecStart=/usr/local/bin/etcd \\\n  --name controller-0 \\\n  --initial-advertise-peer-urls https://10.240.0.10:2380 \\\n  --initial-cluster ${peers.join(",")} \\\n  --data-dir=/var/lib/etcd\n`
      : `[Service]\nExecStart=/usr/local/bin/${unit}\n`;
  for (const unit of units) {
    os.files.put(`/etc/systemd/system/${unit}.service`, unitText(unit));
    await os.systemd.enable(`${unit}.service`);
    await os.systemd.start(`${unit}.service`, never);
  }
  os.files.put("/var/lib/kubernetes/ca.pem", "");
  os.files.put("/var/lib/etcd/member/snap/db", "of before");
  os.files.put(`${folder}/snapshots/good.db`, "restored");
  const joined: string[] = [];
  const removals: string[] = [];
  const member = { leaderId: "a", revision: 8 };
  const missing: { disk: KhwError | null } = { disk: null };
  /** Starts a new agent on the machine. */
  const agent = async () => {
    const machineLock = createMachineLock({ clock: os.clock, signal: never });
    const mark = await openRestoreRecord(os.files, folder);
    const restorer = await createRestorer({
      os,
      record: mark,
      machineLock,
      snapshots: {
        list: async () => [Snapshot.fromPartial({ id: "good", revision: 8 })],
        fileOf: (id) => `${folder}/snapshots/${id}.db`,
      },
      member: async () => EtcdMember.fromPartial(member),
      release: unusedRelease(removals),
      missingDisk: async () => missing.disk,
      joined: async ({ memberId }) => void joined.push(memberId),
      told: () => {},
      signal: never,
    });
    return { machineLock, mark, restorer, advance: (asked: AdvanceRestoreRequest) => restorer.advance(asked, "admin") };
  };
  const running = async (): Promise<string[]> => {
    const states = await Promise.all(
      units.map(async (unit) => ((await os.systemd.unit(`${unit}.service`)).activeState === "active" ? unit : [])),
    );
    return states.flat();
  };
  const barred = (): string[] =>
    units.filter((unit) => os.files.text(`/etc/systemd/system/${unit}.service.d/90-khw-restoring.conf`) !== undefined);
  return { os, agent, running, barred, joined, member, missing, removals };
}

t.test("a machine is restored phase by phase and stays locked until the last phase", async (t) => {
  const { os, agent, running, barred, joined } = await controller();
  const { machineLock, advance } = await agent();

  await advance(request(phase.held));
  t.same(await running(), units);
  t.match(machineLock.holder()?.name, /restore of etcd that admin began/);

  await advance(request(phase.kubernetes));
  t.same(await running(), ["etcd"]);
  t.same(barred(), units, "a reboot would not start any service");

  await advance(request(phase.stopped));
  t.same(await running(), []);

  const { keptAside } = await advance(request(phase.restored));
  t.equal(os.files.text("/var/lib/etcd/member/snap/db"), "restored");
  t.match(keptAside, /^\/var\/lib\/etcd\/before-restore-\d{8}T\d{6}Z$/);
  t.equal(os.files.text(`${keptAside}/snap/db`), "of before");

  await advance(request(phase.started));
  t.same(await running(), ["etcd"]);
  t.same(barred(), ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
  t.equal(joined.length, 1);

  await advance(request(phase.finished));
  t.same(await running(), units);
  t.same(barred(), []);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(machineLock.holder(), undefined);
});

t.test(
  "after a kill in any phase, the restarted agent locks the machine again, and the same calls complete the restore",
  async (t) => {
    for (let killed = 1; killed <= inOrder.length; killed++) {
      const { os, agent, running } = await controller();
      const first = await agent();
      for (const reached of inOrder.slice(0, killed)) await first.advance(request(reached));
      const second = await agent();
      t.equal(
        second.machineLock.holder() !== undefined,
        killed < inOrder.length,
        `an agent that was killed after phase ${killed} locks the machine again, unless that was the last phase`,
      );
      for (const reached of inOrder) await second.advance(request(reached));
      t.same(await running(), units);
      t.same(
        os.etcdctl.calls.filter((call) => call.startsWith("replace")).length,
        1,
        "etcd's data was replaced exactly once",
      );
    }
  },
);

t.test("a finished restore is not repeated while another machine is still being restored", async (t) => {
  const { os, agent, running } = await controller();
  const { advance } = await agent();
  for (const reached of inOrder) await advance(request(reached));
  const before = os.changes().length;
  t.equal((await advance(request(phase.kubernetes))).phase, phase.finished);
  t.same(await running(), units);
  t.equal(os.changes().length, before);
});

t.test("a phase that is requested out of order is refused", async (t) => {
  const { agent, running } = await controller();
  const { advance } = await agent();
  await t.rejects(advance(request(phase.restored)), { code: "OUT_OF_ORDER" });
  await advance(request(phase.held));
  await advance(request(phase.kubernetes));
  await t.rejects(advance(request(phase.restored)), { code: "OUT_OF_ORDER" });
  await t.rejects(advance(request(RestorePhase.UNRECOGNIZED)), { code: "INVALID_ARGUMENT" });
  t.same(await running(), ["etcd"]);
});

t.test("a restore can be abandoned only while the machine is locked and no service has stopped", async (t) => {
  const { agent, running } = await controller();
  const { advance, machineLock } = await agent();
  const abandon = () => advance(request(RestorePhase.RESTORE_PHASE_ABANDONED));
  await t.rejects(abandon(), { code: "OUT_OF_ORDER" }, "a restore that has not started cannot be abandoned");
  await advance(request(phase.held));
  await abandon();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(machineLock.holder(), undefined);
  t.same(await running(), units);
  await t.rejects(advance(request(phase.kubernetes)), { code: "OUT_OF_ORDER" }, "an abandoned restore cannot continue");
  t.equal((await agent()).machineLock.holder(), undefined, "a restarted agent does not lock the machine");
  const other = { restoreId: "00000000-0000-4000-8000-000000000002" };
  for (const reached of inOrder.slice(0, 2)) await advance(request(reached, other));
  await t.rejects(advance(request(RestorePhase.RESTORE_PHASE_ABANDONED, other)), { code: "OUT_OF_ORDER" });
  t.same(await running(), ["etcd"]);
});

t.test("a new restore replaces an unfinished one", async (t) => {
  const { os, agent } = await controller();
  const { advance, mark } = await agent();
  for (const reached of inOrder.slice(0, 4)) await advance(request(reached));
  os.clock.advance(60_000);
  const other = { restoreId: "00000000-0000-4000-8000-000000000002" };
  await advance(request(phase.held, other));
  t.equal(mark.current()?.id, other.restoreId);
  for (const reached of inOrder) await advance(request(reached, other));
  t.equal((await os.files.list("/var/lib/etcd")).filter((name) => name.startsWith("before-restore")).length, 2);
});

t.test("a restore cannot be abandoned if it replaced a restore that had already stopped services", async (t) => {
  const { agent, barred } = await controller();
  const { advance } = await agent();
  for (const reached of inOrder.slice(0, 3)) await advance(request(reached));
  const other = { restoreId: "00000000-0000-4000-8000-000000000002" };
  await advance(request(phase.held, other));
  const again = await agent();
  const abandon = again.advance(request(RestorePhase.RESTORE_PHASE_ABANDONED, other));
  await t.rejects(abandon, { code: "OUT_OF_ORDER", hint: /again; it continues/ });
  t.same(barred(), units);
  t.ok(again.machineLock.holder(), "the machine stays locked");
  for (const reached of inOrder) await again.advance(request(reached, other));
  t.same(barred(), []);
});

t.test("a machine that abandoned a restore can rejoin the same restore and complete it", async (t) => {
  const { agent, running } = await controller();
  const { advance, machineLock } = await agent();
  await advance(request(phase.held));
  await advance(request(RestorePhase.RESTORE_PHASE_ABANDONED));
  await new Promise((resolve) => setImmediate(resolve));
  await advance(request(phase.held));
  t.ok(machineLock.holder());
  for (const reached of inOrder) await advance(request(reached));
  t.same(await running(), units);
});

t.test("a restore that does not match the machine is refused before it begins", async (t) => {
  const { os, agent, running } = await controller();
  const { advance, machineLock } = await agent();
  const first = (changes: Partial<AdvanceRestoreRequest>) => advance(request(phase.held, changes));
  const elsewhere = [{ name: "controller-0", internalIp: "10.240.0.99" }];
  await t.rejects(first({ snapshotId: "none" }), { code: "INVALID_ARGUMENT" }, "an unknown snapshot is refused");
  await t.rejects(
    first({ snapshotId: "../../etc/shadow" }),
    { code: "INVALID_ARGUMENT" },
    "a path is refused as a snapshot ID",
  );
  await t.rejects(
    first({ restoreId: "1" }),
    { code: "INVALID_ARGUMENT" },
    "a restore ID that is not a UUID is refused",
  );
  await t.rejects(
    first({ members: [] }),
    { code: "INVALID_ARGUMENT" },
    "a member list without this machine is refused",
  );
  await t.rejects(
    first({ members: elsewhere }),
    { code: "INVALID_ARGUMENT" },
    "a member list with a different address for this machine is refused",
  );
  await t.rejects(
    first({ members: [{ name: "controller-0", internalIp: "10.240.0.10" }] }),
    { code: "ETCD_CONFLICT", message: /initial-cluster/ },
    "a member list that differs from the unit file is refused",
  );
  os.files.put("/etc/systemd/system/etcd.service", "[Service]\nExecStart=/usr/bin/etcd --data-dir /data\n");
  await t.rejects(first({}), { code: "ETCD_CONFLICT" }, "an etcd that khw did not set up is refused");
  t.equal(machineLock.holder(), undefined);
  t.same(await running(), units);
});

t.test("a restore neither begins nor replaces data while etcd's dedicated disk is not mounted", async (t) => {
  const { os, agent, running, missing } = await controller();
  const { mark, advance } = await agent();
  missing.disk = new KhwError("DISK_MISSING", "no disk");
  await t.rejects(advance(request(phase.held)), { code: "DISK_MISSING" });
  t.equal(mark.current(), undefined);
  t.same(await running(), units);

  missing.disk = null;
  for (const next of [phase.held, phase.kubernetes, phase.stopped]) await advance(request(next));
  missing.disk = new KhwError("DISK_MISSING", "no disk");
  await t.rejects(advance(request(phase.restored)), { code: "DISK_MISSING" });
  t.equal(os.files.text("/var/lib/etcd/member/snap/db"), "of before");
  missing.disk = null;
  await advance(request(phase.restored));
  t.equal(os.files.text("/var/lib/etcd/member/snap/db"), "restored");
});

t.test("a restore is refused while another operation holds the machine", async (t) => {
  const { agent, running } = await controller();
  const { machineLock, advance } = await agent();
  let end = (): void => {};
  const held = machineLock.lock("somebody", () => new Promise<void>((resolve) => (end = resolve)));
  await t.rejects(advance(request(phase.held)), { code: "BUSY" });
  t.same(await running(), units);
  end();
  await held;
  await advance(request(phase.held));
});

t.test("a restore finishes even if the API server is unhealthy for a reason other than etcd", async (t) => {
  const { os, agent, running } = await controller();
  os.answers.set("https://127.0.0.1:6443/readyz?verbose", { status: 500, body: "[-]poststarthook failed" });
  const { advance, machineLock } = await agent();
  for (const reached of inOrder) await advance(request(reached));
  t.same(await running(), units);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(machineLock.holder(), undefined);
});

t.test("the start phase fails if etcd's revision is older than the snapshot's", async (t) => {
  const { agent, member } = await controller();
  const { advance } = await agent();
  for (const reached of inOrder.slice(0, 4)) await advance(request(reached));
  member.revision = 1;
  await t.rejects(advance(request(phase.started)), { code: "POSTCONDITION_FAILED" });
  member.revision = 9;
  t.equal((await advance(request(phase.started))).phase, phase.started);
});

t.test(
  "a guard without a record counts as an unfinished restore, and services stay blocked until the restore is repeated",
  async (t) => {
    for (const damaged of [undefined, "", "no record"]) {
      const { os, agent, barred, running, removals } = await controller();
      const first = await agent();
      const before = removals.length;
      await first.advance(request(phase.held));
      await first.advance(request(phase.kubernetes));
      os.files.drop(`${folder}/restore`);
      if (damaged !== undefined) os.files.put(`${folder}/restore`, damaged);
      const { machineLock, mark, restorer, advance } = await agent();
      t.equal(mark.unfinished(), undefined);
      t.equal(mark.damage() === undefined, damaged === undefined);
      t.equal(restorer.inProgress(), true);
      t.equal(removals.length, before, "the restore's stored desired state is kept");
      t.match(machineLock.holder(), { name: /restore of etcd, whose record is lost/ });
      t.strictSame(barred(), units);
      for (const next of inOrder) await advance(request(next));
      t.strictSame([barred(), restorer.inProgress(), machineLock.holder()], [[], false, undefined]);
      t.strictSame(await running(), units);
      if (damaged !== undefined) t.equal(os.files.text(`${folder}/restore.damaged`), damaged);
    }
  },
);
