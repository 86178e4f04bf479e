import t, { type Test } from "tap";
import { controllerSteps } from "../../../../agent/steps.ts";
import { componentCommand } from "../../../../agent/render/components.ts";
import type { Os } from "../../../../agent/os/os.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { WithEtcd } from "../../../../proto/desired.ts";
import type { DesiredState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { type AdvanceRestoreRequest, RestorePhase, Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { controllers, labState } from "../../../fixtures/lab-cluster.ts";
import {
  applyAll,
  digest,
  etcdRelease,
  labDesiredWithEtcd,
  labMachine,
  never,
  planAll,
  release,
} from "../../../fixtures/machine.ts";
import { allFiles, mortal } from "../../../fixtures/mortal.ts";
import { scene } from "../../../fixtures/rollback-scene.ts";

const [older, newer] = ["v1.20.2", "v1.21.0"].map((kubernetesVersion) => labDesiredWithEtcd({ kubernetesVersion }));
if (older === undefined || newer === undefined) throw new TypeError("there are two releases");
const stepsOf = (desired: WithEtcd) => controllerSteps(desired, { drained: false });
const wire = (changes: Partial<DesiredState> = {}): DesiredState =>
  labState({
    kubernetesVersion: "v1.20.2",
    etcd: {
      version: "v3.4.99",
      mirrors: ["https://github.com/etcd-io/etcd/releases/download"],
      sha256: {},
      strict: false,
      dedicatedDisk: false,
    },
    ...changes,
  });

const inOrder = [
  RestorePhase.RESTORE_PHASE_HELD,
  RestorePhase.RESTORE_PHASE_KUBERNETES_STOPPED,
  RestorePhase.RESTORE_PHASE_ETCD_STOPPED,
  RestorePhase.RESTORE_PHASE_RESTORED,
  RestorePhase.RESTORE_PHASE_ETCD_STARTED,
  RestorePhase.RESTORE_PHASE_FINISHED,
] as const;
const [held, , etcdStopped] = inOrder;
const takenUnixMillis = Date.parse("2026-01-31T12:00:00.000Z");
const request = (phase: RestorePhase, changes: Partial<AdvanceRestoreRequest> = {}): AdvanceRestoreRequest => ({
  restoreId: "00000000-0000-4000-8000-000000000001",
  snapshotId: "marked",
  members: controllers,
  phase,
  ...(phase === held && { desired: wire() }),
  ...changes,
});

const database = "/var/lib/etcd/member/snap/db";
const programOf = (os: FakeOs): string => os.files.text("/usr/local/bin/kube-apiserver") ?? "none";

/** Starts an agent on the machine. */
async function agentOn(t: Test, os: FakeOs, seen: Os = os) {
  const { node, ending } = await scene(t, { os, seen, kept: null });
  const advance = (asked: AdvanceRestoreRequest) => node.etcd.advanceRestore(asked, "alice");
  return { node, ending, advance };
}

/**
 * Creates a machine that runs the newer release. The machine also has the snapshot and the programs of the older
 * release.
 */
async function upgraded(t: Test) {
  const os = labMachine();
  release(os, "v1.20.2");
  etcdRelease(os, "v3.4.99");
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  for (const member of os.etcd.members) member.started = false;
  if (newer === undefined || older === undefined) throw new TypeError("there are two releases");
  t.strictSame((await applyAll(stepsOf(newer), os)).errors, []);
  for (const member of os.etcd.members) member.started = true;
  const downloads = stepsOf(older).filter(({ id }) => /^(?:identity|folder|release)/.test(id));
  t.strictSame((await applyAll(downloads, os)).errors, []);
  const usual = os.etcd.post.bind(os.etcd);
  os.etcd.post = async (server, asked) => {
    const answer = await usual(server.replace("127.0.0.1", "10.240.0.10"), asked);
    return asked.path === "/v3/maintenance/status"
      ? { ...answer, header: { ...Object(answer["header"]), revision: "8" } }
      : answer;
  };
  os.files.put(database, "newer data");
  /** For each start of the API server: the installed program and etcd's data. */
  const started: string[] = [];
  const start = os.systemd.start.bind(os.systemd);
  os.systemd.start = async (unit, signal) => {
    if (unit === "kube-apiserver.service") started.push(`${programOf(os)} with ${os.files.text(database)}`);
    await start(unit, signal);
  };
  const agent = await agentOn(t, os);
  await agent.node.keptState.save("00000000-0000-4000-8000-00000000000a", newer);
  const sha256 = digest("restored");
  const announced = Snapshot.fromPartial({ id: "marked", size: 8, sha256, takenUnixMillis });
  await agent.node.etcd.snapshots.receive(announced, chunks("restored"), never);
  return { os, started, ...agent };
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const apiServers = ["kube-apiserver of v1.20.2 with restored"];

t.test(
  "when the data is replaced, the older programs are installed and the older release becomes the desired release",
  async (t) => {
    const { os, started, advance, node } = await upgraded(t);
    for (const phase of inOrder) {
      const restore = await advance(request(phase));
      t.match(restore, { phase, kubernetesVersion: "v1.20.2", snapshotTakenUnixMillis: takenUnixMillis });
      const isNew = phase <= etcdStopped;
      t.equal(programOf(os), `kube-apiserver of ${isNew ? "v1.21.0" : "v1.20.2"}`);
      t.equal(node.keptState.current()?.desired.kubernetesVersion, isNew ? "v1.21.0" : "v1.20.2");
    }
    t.strictSame(started, apiServers);
    t.strictSame(await planAll(stepsOf(labDesiredWithEtcd({ kubernetesVersion: "v1.20.2" })), os), {});
    const unit = await os.systemd.unit("kube-apiserver.service");
    const process = await os.systemd.process(unit.mainPid);
    t.strictSame(
      process?.argv,
      componentCommand("kube-apiserver", labDesiredWithEtcd({ kubernetesVersion: "v1.20.2" })),
    );
    t.equal(os.files.text("/var/lib/khw-agent/restore-target"), undefined, "no copy of the keys remains on the disk");
    t.equal(node.machineLock.holder(), undefined);
  },
);

t.test("only root can read the stored desired state", async (t) => {
  const { os, advance } = await upgraded(t);
  await advance(request(held));
  t.match(await os.files.stat("/var/lib/khw-agent/restore-target"), { mode: 0o600 });
});

t.test(
  "a restore that is killed after any change can be completed with the same files, and never starts the API server early",
  async (t) => {
    const run = async (last: number) => {
      const { os, started, ending } = await upgraded(t);
      ending.abort();
      const { os: seen, changes } = mortal(os, last);
      const first = await agentOn(t, os, seen).catch(() => undefined);
      const before = changes();
      const all = async (advance: (asked: AdvanceRestoreRequest) => Promise<unknown>): Promise<void> => {
        for (const phase of inOrder) await advance(request(phase));
      };
      if (first !== undefined) {
        const ended = await all(first.advance).then(
          () => "finished",
          () => "killed",
        );
        first.ending.abort();
        if (last === Infinity) t.equal(ended, "finished");
      }
      return { os, started, all, before, changes: changes() };
    };
    // Leaves out the agent's records, because they contain times that differ between runs.
    const filesOf = async (os: FakeOs): Promise<string> =>
      (await allFiles(os.files))
        .filter((line) => !/^\/var\/lib\/khw-agent\/(?:history|snapshots|restore )/.test(line))
        .join("\n");
    const whole = await run(Infinity);
    const wanted = await filesOf(whole.os);
    t.ok(whole.changes - whole.before > 40, `the restore makes more than 40 changes: ${whole.changes - whole.before}`);
    for (let last = whole.before + 1; last <= whole.changes; last++) {
      const { os, started, all } = await run(last);
      const label = `killed after change ${last - whole.before}`;
      const { advance, node } = await agentOn(t, os);
      await all(advance);
      t.strictSame([...new Set(started)], apiServers, label);
      t.equal(await filesOf(os), wanted, label);
      t.equal(node.keptState.current()?.desired.kubernetesVersion, "v1.20.2", label);
    }
  },
);

t.test("a client that does not resend the release still completes the restore with the older programs", async (t) => {
  const { os, started, advance } = await upgraded(t);
  await advance(request(held));
  for (const phase of inOrder) await advance(request(phase, { desired: undefined }));
  t.strictSame(started, apiServers);
  t.equal(programOf(os), "kube-apiserver of v1.20.2");
});

t.test("a restore that keeps the release cannot replace an unfinished restore that changes the release", async (t) => {
  const { advance, node } = await upgraded(t);
  for (const phase of inOrder.slice(0, 4)) await advance(request(phase));
  const other = { restoreId: "00000000-0000-4000-8000-000000000002", desired: undefined };
  await t.rejects(advance(request(held, other)), {
    code: "OUT_OF_ORDER",
    hint: /khw-client upgrade --back --lose-since 2026-01-31T12:00:00\.000Z --yes/,
  });
  t.match(node.etcd.unfinishedRestore(), { kubernetesVersion: "v1.20.2" });
});

t.test(
  "a restore stops if its stored desired state is lost, and a rerun of the command sends the desired state again",
  async (t) => {
    const { os, ending, advance } = await upgraded(t);
    for (const phase of inOrder.slice(0, 3)) await advance(request(phase));
    ending.abort();
    os.files.put("/var/lib/khw-agent/restore-target", "");
    const later = await agentOn(t, os);
    await t.rejects(later.advance(request(RestorePhase.RESTORE_PHASE_RESTORED)), {
      code: "NO_STATE",
      message: /restore-target cannot be read/,
    });
    for (const phase of inOrder) await later.advance(request(phase));
    t.equal(programOf(os), "kube-apiserver of v1.20.2");
  },
);

t.test("a restore that cannot be recorded releases the machine lock", async (t) => {
  for (const file of ["restore-target", "restore"]) {
    const { os, advance, node } = await upgraded(t);
    const write = os.files.write.bind(os.files);
    os.files.write = async (path, ...rest) => {
      if (path === `/var/lib/khw-agent/${file}`) throw new KhwError("IO_FAILED", "no space left on device");
      await write(path, ...rest);
    };
    await t.rejects(advance(request(held)), { code: "IO_FAILED" });
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(node.machineLock.holder(), undefined, file);
    os.files.write = write;
    for (const phase of inOrder) await advance(request(phase));
    t.equal(programOf(os), "kube-apiserver of v1.20.2");
  }
});

t.test("an abandoned restore changes nothing and keeps no copy of the keys", async (t) => {
  const { os, advance, node } = await upgraded(t);
  await advance(request(held));
  await advance(request(RestorePhase.RESTORE_PHASE_ABANDONED));
  t.equal(os.files.text("/var/lib/khw-agent/restore-target"), undefined);
  t.equal(node.keptState.current()?.desired.kubernetesVersion, "v1.21.0");
  t.equal(node.machineLock.holder(), undefined);
});

t.test("a restore is refused before any service stops if its programs could not be installed", async (t) => {
  const { os, advance, node } = await upgraded(t);
  const first = (desired: DesiredState) => advance(request(held, { desired }));
  await t.rejects(first(wire({ kubernetesVersion: "v1.22.3" })), {
    code: "PREFLIGHT_FAILED",
    message: /kube-apiserver: /,
  });
  await t.rejects(first(wire({ node: "controller-1" })), { code: "INVALID_ARGUMENT", message: /controller-1/ });
  const [credential, ...others] = wire().credentials;
  const bare = { ...credential, name: credential?.name ?? "", sha256: credential?.sha256 ?? "", content: undefined };
  await t.rejects(first(wire({ credentials: [bare, ...others] })), { message: /has no content/ });
  await t.rejects(first(wire({ etcd: undefined })), { code: "INVALID_ARGUMENT", message: /desired\.etcd/ });
  const { etcd } = wire();
  const flags = etcd && { ...etcd, version: "v3.4.98" };
  await t.rejects(first(wire({ etcd: flags })), { code: "PREFLIGHT_FAILED" });
  os.files.free = 1000;
  await t.rejects(first(wire()), { code: "IO_FAILED", message: /are free/ });
  t.equal(node.machineLock.holder(), undefined);
  t.equal(node.etcd.unfinishedRestore(), undefined);
  t.strictSame(
    os.systemd.changes.filter((change) => change.startsWith("stop ")),
    [],
  );
});
