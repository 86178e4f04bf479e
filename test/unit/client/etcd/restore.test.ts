import t from "tap";
import type { Member } from "../../../../client/cluster/open.ts";
import type { EtcdCalls } from "../../../../client/cluster/etcd-client.ts";
import { confirmation, refuseReleaseRestore, restoreIdFor, runRestore } from "../../../../client/etcd/restore.ts";
import { distributeTo, type Source } from "../../../../client/etcd/distribute.ts";
import { etcdProblems } from "../../../../client/etcd/overview.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { Restore, RestorePhase, Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { unusedEtcd } from "../../../fakes/etcd-calls.ts";
import { labState } from "../../../fixtures/lab-cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const names = ["controller-0", "controller-1", "controller-2"];
const snapshot = Snapshot.fromPartial({ id: "good", sha256: "aa", size: 3 });
const progress = { emit: () => {}, settled: async () => {} };

/** Creates three nodes. Only controller-0 has the snapshot. Logs the calls to the nodes in order. */
async function cluster(
  fail: (node: string, phase: RestorePhase) => KhwError | undefined = () => undefined,
  older: readonly string[] = [],
) {
  const { members: plain } = await createFakeCluster(names);
  const log: string[] = [];
  const calls = (name: string): EtcdCalls => ({
    ...unusedEtcd,
    verify: async (id) => {
      log.push(`${name} verify ${id}`);
      return snapshot;
    },
    write: async (announced, chunks) => {
      let text = "";
      for await (const chunk of chunks) text += Buffer.from(chunk).toString("utf8");
      log.push(`${name} write ${announced.id} ${text}`);
      return announced;
    },
    advance: async ({ phase, desired }) => {
      // Each node takes a different amount of time.
      await new Promise((resolve) => setTimeout(resolve, names.indexOf(name) * 5));
      const error = fail(name, phase);
      if (error !== undefined) throw error;
      log.push(`${name} phase ${phase}`);
      if (desired !== undefined) log.push(`${name} gets ${desired.node} in ${phase}`);
      return Restore.fromPartial({ phase, kubernetesVersion: older.includes(name) ? undefined : "v1.20.2" });
    },
  });
  const members = plain.map(({ node, ...rest }): Member => ({
    ...rest,
    node: { ...node, etcd: calls(node.address.name) },
  }));
  const source: Source = {
    snapshot,
    nodes: ["controller-0"],
    read: async function* () {
      yield Buffer.from("abc");
    },
  };
  const controllers = names.map((name, index) => ({ name, internalIp: `10.240.0.1${index}` }));
  return { log, members, run: { id: "r", source, members, controllers } };
}

t.test(
  "all nodes verify the snapshot before anything stops, and finish each phase before the next phase starts",
  async (t) => {
    const { log, run } = await cluster();
    t.equal(await runRestore(run, { progress, signal: never }), true);
    t.same(log.slice(0, 3).toSorted(), [
      "controller-0 verify good",
      "controller-1 write good abc",
      "controller-2 write good abc",
    ]);
    const phases = log.slice(3).map((line) => Number(line.split(" ").at(-1)));
    t.same(phases, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6]);
  },
);

t.test("if one node fails, no node starts the next phase, and the error says how to continue", async (t) => {
  const failing = (node: string, phase: RestorePhase) =>
    node === "controller-1" && phase === RestorePhase.RESTORE_PHASE_RESTORED
      ? new KhwError("IO_FAILED", "no space left on device")
      : undefined;
  const { log, run } = await cluster(failing);
  const expected = { code: "PARTIAL", message: /controller-1.*no space left/s, hint: /run the same command again/ };
  await t.rejects(runRestore(run, { progress, signal: never }), expected);
  t.notOk(log.some((line) => line.endsWith("phase 5")));
});

t.test("Ctrl-C lets the current phase finish and does not start the next phase", async (t) => {
  const interrupted = new AbortController();
  const { log, run } = await cluster((_, phase) => {
    if (phase === RestorePhase.RESTORE_PHASE_ETCD_STOPPED) interrupted.abort();
    return undefined;
  });
  t.equal(await runRestore(run, { progress, signal: interrupted.signal }), false);
  t.equal(log.filter((line) => line.endsWith("phase 3")).length, 3);
  t.notOk(log.some((line) => line.endsWith("phase 4")));
});

t.test("if a node is busy, nothing is stopped, and the locks on the other nodes are released", async (t) => {
  const busy = (node: string, phase: RestorePhase) =>
    node === "controller-2" && phase === RestorePhase.RESTORE_PHASE_HELD
      ? new KhwError("BUSY", "the node is busy: somebody has held the machine lock since noon")
      : undefined;
  const { log, run } = await cluster(busy);
  await t.rejects(runRestore(run, { progress, signal: never }), { message: /controller-2.*somebody/s });
  const phases = log.filter((line) => line.includes("phase")).map((line) => Number(line.split(" ").at(-1)));
  t.same([...new Set(phases)], [1, RestorePhase.RESTORE_PHASE_ABANDONED]);
});

t.test("if a node cannot store the snapshot, the restore ends before any change", async (t) => {
  const { log, members, run } = await cluster();
  const [first, second, third] = members;
  if (first === undefined || second === undefined || third === undefined) throw new TypeError("they are three");
  const write = async () => {
    throw new KhwError("IO_FAILED", "its disk is full");
  };
  const full: Member = { ...third, node: { ...third.node, etcd: { ...third.node.etcd, write } } };
  await t.rejects(runRestore({ ...run, members: [first, second, full] }, { progress, signal: never }), {
    code: "PARTIAL",
  });
  t.notOk(log.some((line) => line.includes("phase")));
  await t.resolves(distributeTo(first, run.source, never), "a node that has the snapshot verifies it again");
});

t.test("a restore that a node has started is continued, unless the restore is finished", async (t) => {
  const begun = (phase: RestorePhase, snapshotId = "good") => ({
    node: "controller-1",
    status: { member: undefined, reason: "", restore: Restore.fromPartial({ id: "begun", snapshotId, phase }) },
  });
  t.equal(restoreIdFor("good", [begun(RestorePhase.RESTORE_PHASE_ETCD_STOPPED)]), "begun");
  t.not(restoreIdFor("good", [begun(RestorePhase.RESTORE_PHASE_FINISHED)]), "begun");
  t.not(restoreIdFor("good", [begun(RestorePhase.RESTORE_PHASE_ETCD_STOPPED, "other")]), "begun");
  t.match(restoreIdFor("good", []), /^[0-9a-f-]{36}$/);
});

t.test("the confirmation names the data that is lost, and says that old Secrets need their old key", async (t) => {
  const { run } = await cluster();
  const { message, hint } = confirmation(run);
  t.match(message, /controller-0, controller-1, controller-2 with good/);
  t.match(message, /Secrets .* only if encryption-config\.yaml still has the keys/);
  t.match(hint, /--yes/);
});

const release = (held: () => Promise<void> = async () => {}) => ({
  version: "v1.20.2",
  desired: new Map(names.map((node) => [node, labState({ node })])),
  held,
});

t.test(
  "the older release is sent only in the first phase, and the restore is recorded before anything stops",
  async (t) => {
    const { log, run } = await cluster();
    const held = async (): Promise<void> => void log.push("held");
    t.equal(await runRestore({ ...run, release: release(held) }, { progress, signal: never }), true);
    const sent = log.filter((line) => line.includes("gets"));
    t.strictSame(
      sent.toSorted(),
      names.map((name) => `${name} gets ${name} in ${RestorePhase.RESTORE_PHASE_HELD}`),
    );
    const before = log.slice(0, log.indexOf("held"));
    t.equal(before.filter((line) => line.endsWith("phase 1")).length, 3);
    t.notOk(before.some((line) => line.endsWith("phase 2")));
  },
);

t.test("if an agent does not support restoring a release, the restore ends before anything stops", async (t) => {
  const { log, run } = await cluster(undefined, ["controller-1"]);
  await t.rejects(runRestore({ ...run, release: release() }, { progress, signal: never }), {
    message: /controller-1.*cannot install Kubernetes v1\.20\.2.*agent upgrade/s,
  });
  const phases = log.filter((line) => line.includes("phase")).map((line) => Number(line.split(" ").at(-1)));
  t.same([...new Set(phases)], [RestorePhase.RESTORE_PHASE_HELD, RestorePhase.RESTORE_PHASE_ABANDONED]);
});

t.test(
  "a restore that keeps the release neither continues nor replaces a restore that changes the release",
  async (t) => {
    const restore = Restore.fromPartial({
      id: "begun",
      snapshotId: "good",
      phase: RestorePhase.RESTORE_PHASE_ETCD_STOPPED,
      kubernetesVersion: "v1.20.2",
      snapshotTakenUnixMillis: Date.parse("2026-01-31T12:00:00.123Z"),
    });
    const nodes = [{ node: "controller-1", status: { member: undefined, reason: "", restore } }];
    t.throws(() => refuseReleaseRestore(nodes), {
      code: "OUT_OF_ORDER",
      hint: /khw-client upgrade --back --lose-since 2026-01-31T12:00:00\.123Z --yes/,
    });
    t.not(restoreIdFor("good", nodes), "begun");
    t.equal(restoreIdFor("good", nodes, "v1.20.2"), "begun");
    t.match(etcdProblems(nodes).join(), /upgrade --back --lose-since 2026-01-31T12:00:00\.123Z/);
  },
);
