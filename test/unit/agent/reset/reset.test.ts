import t, { type Test } from "tap";
import { clearAfterReset, openResetRecord } from "../../../../agent/reset/record.ts";
import { openResetter } from "../../../../agent/reset/reset.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { openHistory } from "../../../../agent/history/history.ts";
import { openKeptState } from "../../../../agent/state/desired-state.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { ResetRequest } from "../../../../proto/gen/khw/agent/v1/removal.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { applyAll, etcdRelease, labDesiredWithEtcd, labMachine, never } from "../../../fixtures/machine.ts";

const folder = "/var/lib/khw-agent";
const desired = labDesiredWithEtcd();
const request = ResetRequest.fromPartial({ node: "controller-0", clusterName: "kubernetes" });

/** Creates controller-0 of the lab's cluster, whose etcd has three healthy members. */
async function controller(t: Test): Promise<FakeOs> {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  for (const one of os.etcd.members) one.started = false;
  await os.files.mkdir(folder, 0o700);
  t.strictSame((await applyAll(controllerSteps(desired, { drained: false }), os)).errors, []);
  for (const one of os.etcd.members) one.started = true;
  os.files.put("/var/lib/etcd/member/wal/0.wal", "data");
  await (await openKeptState(os.files, { folder })).save("a", desired);
  os.files.put(`${folder}/operation`, "an operation");
  return os;
}

async function open(os: FakeOs) {
  const restarts: string[] = [];
  const log = (): void => {};
  const { files, clock } = os;
  const machineLock = createMachineLock({ clock, signal: never });
  const history = await openHistory({ files, clock, folder, log });
  const resetter = await openResetter({
    os,
    folder,
    keptState: await openKeptState(files, { folder }),
    machineLock,
    history,
    log,
    restart: (reason) => restarts.push(reason),
    signal: never,
  });
  return { resetter, machineLock, history, restarts };
}

/** Returns whether the machine still has its control plane. */
async function isUntouched({ files, systemd }: FakeOs): Promise<boolean> {
  const { activeState } = await systemd.unit("kube-apiserver.service");
  return activeState === "active" && (await files.stat("/var/lib/kubernetes/ca.pem")) !== undefined;
}

t.test(
  "a reset undoes khw's changes to the machine and restarts the agent, which then clears its saved state",
  async (t) => {
    const os = await controller(t);
    os.files.put(`${folder}/snapshots/a.db`, "snapshot");
    os.files.put(`${folder}/packages/kept.deb`, "package");
    os.files.put(`${folder}/target.damaged`, "keys");
    const { resetter, machineLock, history, restarts } = await open(os);
    const { changes, left } = await resetter.reset(request, "alice");
    t.ok(changes.includes("etcd is stopped and disabled"), changes.join("; "));
    t.strictSame(left, []);
    t.strictSame(restarts, ["the machine was reset"]);
    t.match(
      machineLock.holder()?.name,
      /a reset of this machine that alice began/,
      "no repair can start before the agent exits",
    );
    await history.settled();
    await clearAfterReset(os, folder);
    t.strictSame((await os.files.list(folder)).toSorted(), ["history", "packages", "snapshots"]);
    const again = await open(os);
    t.equal(again.machineLock.holder(), undefined);
    t.strictSame(
      await again.resetter.reset(request, "alice"),
      { changes: [], left: [] },
      "a second reset has no effect",
    );
    t.strictSame(again.restarts, []);
  },
);

t.test("--purge also clears the snapshots and the history", async (t) => {
  const os = await controller(t);
  os.files.put(`${folder}/snapshots/a.db`, "snapshot");
  const { resetter, history } = await open(os);
  await resetter.reset({ ...request, purge: true }, "alice");
  await history.settled();
  await clearAfterReset(os, folder);
  t.strictSame(await os.files.list(folder), []);
});

t.test("a state folder that is accessible to other users is not cleared", async (t) => {
  const os = await controller(t);
  await (await open(os)).resetter.reset(request, "alice");
  await os.files.chmod(folder, 0o755);
  await t.rejects(clearAfterReset(os, folder), { code: "CONFIG_INVALID" });
  t.ok((await os.files.list(folder)).includes("target"));
});

t.test("a request for another machine or another cluster changes nothing", async (t) => {
  const os = await controller(t);
  const pem = (text: string): string => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
  const { resetter, machineLock } = await open(os);
  await t.rejects(resetter.reset({ ...request, node: "controller-1" }, "alice"), { code: "IDENTITY_MISMATCH" });
  await t.rejects(resetter.reset({ ...request, clusterName: "prod" }, "alice"), {
    code: "IDENTITY_MISMATCH",
    message: /belongs to the cluster "kubernetes", not to "prod"/,
  });
  await t.rejects(resetter.reset({ ...request, clusterName: "" }, "alice"), { code: "INVALID_ARGUMENT" });
  os.files.put("/var/lib/kubernetes/ca.pem", pem("AAAA"));
  await t.rejects(resetter.reset({ ...request, caPem: pem("BBBB") }, "alice"), {
    code: "IDENTITY_MISMATCH",
    message: /is the CA of another cluster/,
  });
  t.ok(await isUntouched(os));
  t.equal(machineLock.holder(), undefined);
  await resetter.reset({ ...request, caPem: pem("AAAA") }, "alice");
});

t.test("a reset with checkOnly changes nothing", async (t) => {
  const os = await controller(t);
  const { resetter, machineLock } = await open(os);
  t.strictSame(await resetter.reset({ ...request, checkOnly: true }, "alice"), { changes: [], left: [] });
  t.ok(await isUntouched(os));
  t.equal(machineLock.holder(), undefined);
  await t.rejects(resetter.reset({ ...request, checkOnly: true, node: "controller-1" }, "alice"));
});

t.test("a reset is refused if etcd would lose its quorum, and the error states the member counts", async (t) => {
  const os = await controller(t);
  os.etcd.up.delete("10.240.0.12");
  const { resetter, machineLock } = await open(os);
  await t.rejects(resetter.reset(request, "alice"), {
    code: "WOULD_INTERRUPT",
    message: /1 other etcd members are healthy, but the quorum needs 2 of 3/,
    hint: /khw-client remove controller-0/,
  });
  t.ok(await isUntouched(os));
  t.equal(machineLock.holder(), undefined);
  await resetter.reset({ ...request, wholeCluster: true }, "alice");
  t.notOk(await isUntouched(os));
});

t.test(
  "a machine that is no longer an etcd member can be reset even if the other members have no quorum",
  async (t) => {
    const os = await controller(t);
    os.etcd.members.splice(0, 1);
    os.etcd.up.delete("10.240.0.12");
    await (await open(os)).resetter.reset(request, "alice");
    t.notOk(await isUntouched(os));
  },
);

t.test("an interrupted reset keeps the machine locked until a rerun of the command completes the reset", async (t) => {
  const os = await controller(t);
  const broken = { ...os.largeFiles, removeTree: async () => Promise.reject(new KhwError("IO_FAILED", "it failed")) };
  const first = await open({ ...os, largeFiles: broken });
  await t.rejects(first.resetter.reset(request, "alice"), { code: "IO_FAILED", hint: /run the same command again/ });
  t.strictSame(first.restarts, []);
  await clearAfterReset(os, folder);
  t.ok(
    await os.files.stat(`${folder}/target`),
    "the agent keeps its saved state until the reset has undone all changes",
  );

  const second = await open(os);
  t.match(second.machineLock.holder()?.name, /a reset of this machine that alice began/);
  // etcd has stopped, so the other members are no longer queried.
  os.etcd.up.clear();
  await second.resetter.reset(request, "bob");
  t.strictSame(second.restarts, ["the machine was reset"]);
  const { found } = await openResetRecord(os.files, folder);
  t.match(found, { holder: "alice", ownsEtcd: true, undone: true });
});

t.test("a reset is refused during another operation, and concurrent reset calls run a single reset", async (t) => {
  const os = await controller(t);
  const { resetter, machineLock, restarts } = await open(os);
  const work = Promise.withResolvers<void>();
  const operation = machineLock.lock("carol", () => work.promise);
  await t.rejects(resetter.reset(request, "alice"), { code: "BUSY" });
  t.equal((await openResetRecord(os.files, folder)).found, undefined);
  work.resolve();
  await operation;
  const [one, other] = await Promise.all([resetter.reset(request, "alice"), resetter.reset(request, "alice")]);
  t.strictSame(one, other);
  t.strictSame(restarts, ["the machine was reset"]);
});

t.test("the agent's package can be removed only after a reset", async (t) => {
  const os = await controller(t);
  const { resetter } = await open(os);
  await t.rejects(resetter.uninstall({ purge: false }), {
    code: "OUT_OF_ORDER",
    hint: /khw-client reset controller-0/,
  });
  await resetter.reset(request, "alice");
  await clearAfterReset(os, folder);
  await (await open(os)).resetter.uninstall({ purge: true });
  t.ok(os.changes().includes("apt-get purge khw-agent"));
});

t.test("a check is refused during another operation, and a reset never gets the result of a check", async (t) => {
  const os = await controller(t);
  const { resetter, machineLock } = await open(os);
  const work = Promise.withResolvers<void>();
  const operation = machineLock.lock("carol", () => work.promise);
  await t.rejects(resetter.reset({ ...request, checkOnly: true, wholeCluster: true }, "alice"), { code: "BUSY" });
  work.resolve();
  await operation;
  const [, response] = await Promise.all([
    resetter.reset({ ...request, checkOnly: true }, "alice"),
    resetter.reset(request, "alice"),
  ]);
  t.ok(response.changes.length > 0);
  t.notOk(await isUntouched(os));
});

t.test("a whole cluster is not reset while a machine that is not listed still runs an etcd member", async (t) => {
  const os = await controller(t);
  const { resetter } = await open(os);
  const shorter = { ...request, wholeCluster: true, clusterIps: ["10.240.0.10", "10.240.0.11"] };
  await t.rejects(resetter.reset(shorter, "alice"), {
    code: "WOULD_INTERRUPT",
    message: /these machines also run members of this cluster's etcd, but are not listed: 10\.240\.0\.12/,
  });
  t.ok(await isUntouched(os));
  await t.rejects(resetter.reset({ ...shorter, clusterIps: ["controller-0"] }, "alice"), { code: "INVALID_ARGUMENT" });
  os.etcd.up.delete("10.240.0.12");
  await resetter.reset(shorter, "alice");
  t.notOk(await isUntouched(os), "a machine without a running member does not count");
});

t.test("a machine that was interrupted while it joined a cluster can be reset completely", async (t) => {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  await os.files.mkdir(folder, 0o700);
  const steps = controllerSteps(desired, { drained: false });
  const before = steps.slice(
    0,
    steps.findIndex(({ id }) => id === "etcd/begun"),
  );
  t.strictSame((await applyAll(before, os)).errors, []);
  const written = ["/usr/local/lib/khw", "/var/lib/kubernetes/kubernetes-key.pem", "/etc/etcd/kubernetes-key.pem"];
  for (const path of written) t.ok(await os.files.stat(path), path);
  const { resetter } = await open(os);
  await t.rejects(resetter.uninstall({ purge: false }), { code: "OUT_OF_ORDER" });
  await resetter.reset(request, "alice");
  for (const path of written) t.equal(await os.files.stat(path), undefined, path);
});
