import t from "tap";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import type { HistoryEntry, History } from "../../../../agent/history/history.ts";
import { openMaintenance } from "../../../../agent/state/maintenance.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { nginxService } from "../../../../agent/steps/nginx.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { DrainReason } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { applyAll, labDesired, labMachine, never, planAll } from "../../../fixtures/machine.ts";

const folder = "/var/lib/khw-agent";

/** Opens the node's maintenance state, as an agent does when it starts on this machine. */
async function open(os: FakeOs, apply: () => Promise<void> = async () => {}) {
  const statusStore = createStatusStore(undefined);
  const told: HistoryEntry[] = [];
  const machineLock = createMachineLock({ clock: os.clock, signal: never });
  const history: History = {
    append: (entry) => void told.push(entry),
    newest: () => 0,
    list: async () => [],
    listen: () => () => {},
    settled: async () => {},
  };
  const maintenance = await openMaintenance({ os, folder, machineLock, statusStore, history, apply });
  return { maintenance, statusStore, told, machineLock };
}

t.test("a drain is stored on disk, shown in the status, reported once, and kept across an agent restart", async (t) => {
  const os = createFakeOs();
  let applied = 0;
  const { maintenance, statusStore, told } = await open(os, async () => void applied++);
  t.match(maintenance.current(), { drained: false, holder: "" });
  t.match(await maintenance.set({ drained: true, holder: "admin", reason: undefined }), {
    drained: true,
    holder: "admin",
    sinceUnixMillis: os.clock.now(),
  });
  os.clock.advance(1000);
  t.match(
    await maintenance.set({ drained: true, holder: "another", reason: undefined }),
    { drained: true, holder: "admin" },
    "the drain keeps its first holder",
  );
  t.equal(applied, 2, "nginx is reconfigured although the node was already drained");
  t.match(told, [{ message: "drained by admin" }]);
  t.equal(told.length, 1);
  t.match(statusStore.read().maintenance, { drained: true });
  t.match(await os.files.stat(`${folder}/maintenance`), { mode: 0o600 });

  const next = await open(os);
  t.match([next.maintenance.current(), next.statusStore.read().maintenance], [{ drained: true }, { drained: true }]);
  await next.maintenance.set({ drained: false, holder: "admin", reason: undefined });
  t.match((await open(os)).maintenance.current(), { drained: false });
});

t.test("a drain is kept if nginx fails, and no drain or undrain is recorded during another operation", async (t) => {
  const os = createFakeOs();
  const failing = async (): Promise<void> => Promise.reject(new KhwError("SERVICE_FAILED", "nginx is not there"));
  const { maintenance, machineLock } = await open(os, failing);
  await t.rejects(maintenance.set({ drained: true, holder: "admin", reason: undefined }), {
    message: "nginx is not there",
  });
  t.match((await open(os)).maintenance.current(), { drained: true });
  let free = (): void => {};
  const held = machineLock.lock("admin", () => new Promise<void>((resolve) => (free = resolve)));
  await t.rejects(async () => maintenance.set({ drained: false, holder: "another", reason: undefined }), {
    code: "BUSY",
  });
  t.equal(maintenance.current().drained, true);
  free();
  await held;
});

t.test("a node with an unreadable maintenance record counts as drained until the next drain or undrain", async (t) => {
  for (const content of [new Uint8Array([0xff, 0xff, 0xff]), new Uint8Array(), new Uint8Array([0x08, 0x01])]) {
    for (const wanted of [true, false]) {
      const os = createFakeOs();
      os.files.put(`${folder}/maintenance`, content);
      const { maintenance, statusStore } = await open(os);
      t.match(statusStore.read().maintenance, { drained: true, holder: /maintenance cannot be read: / });
      t.match(maintenance.damage(), /maintenance cannot be read: /);
      await maintenance.set({ drained: wanted, holder: "admin", reason: undefined });
      t.equal(maintenance.damage(), undefined);
      t.match((await open(os)).maintenance.current(), { drained: wanted, holder: "admin" });
      t.same(
        await os.files.read(`${folder}/maintenance.damaged`),
        Buffer.from(content),
        "the damaged file is kept under another name",
      );
    }
  }
});

t.test("a drained node returns 503, stays drained during an operation, and is not reported as drift", async (t) => {
  const os = labMachine();
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  os.clock.advance(1000);
  os.answers.set("http://127.0.0.1:80/healthz", { status: 503, body: "" });
  const drained = controllerSteps(labDesired(), { drained: true });
  const { errors, changed } = await applyAll(drained, os);
  t.strictSame([errors, changed], [[], ["nginx/site", "service/nginx"]]);
  t.strictSame(await planAll(drained, os), {});
  const back = await planAll(controllerSteps(labDesired(), { drained: false }), os);
  t.strictSame(Object.keys(back), ["nginx/site", "ready/nginx"]);
});

t.test("an nginx reload is complete when no old worker accepts new connections", async (t) => {
  const site = "/etc/nginx/sites-available/site";
  const machine = async () => {
    const os = labMachine();
    await os.packages.install("nginx", { signal: never, progress: () => {}, adding: async () => {} });
    os.files.put(site, "server {}");
    const { mainPid } = await os.systemd.unit("nginx.service");
    const titles = new Map([[2, "nginx: worker process"]]);
    const children = `/proc/${mainPid}/task/${mainPid}/children`;
    os.files.put(children, "2 ");
    const process = async (pid: number) => ({ argv: [titles.get(pid) ?? ""], environment: {}, inode: 0n, device: 0n });
    return { os: { ...os, systemd: { ...os.systemd, process } }, titles, children };
  };
  const step = nginxService([site], []);

  await t.test("the reload is complete even if the old worker still has open connections to finish", async (t) => {
    const { os, titles, children } = await machine();
    let looks = 0;
    const clock = {
      ...os.clock,
      delay: async () => {
        if (++looks < 3) return;
        os.files.put(children, "2 3 ");
        titles.set(2, "nginx: worker process is shutting down").set(3, "nginx: worker process");
      },
    };
    await step.apply({ ...os, clock }, { signal: never, progress: () => {} });
    t.equal(looks, 3);
  });

  await t.test("the reload fails if an old worker keeps accepting connections and serving the old site", async (t) => {
    const { os } = await machine();
    const failure = { code: "SERVICE_FAILED", message: /old site/ };
    await t.rejects(step.apply(os, { signal: never, progress: () => {} }), failure);
  });
});

t.test("a drain by a person replaces a drain by a rolling update, and only a person can end it", async (t) => {
  const os = createFakeOs();
  const { maintenance, told } = await open(os);
  const { DRAIN_REASON_PERSON: person, DRAIN_REASON_ROLLING_UPDATE: update } = DrainReason;
  await maintenance.set({ drained: true, holder: "update", reason: update });
  t.match(maintenance.current(), { drained: true, reason: update });
  await maintenance.set({ drained: true, holder: "alice", reason: person });
  t.match(maintenance.current(), { drained: true, holder: "alice", reason: person });
  for (const drained of [true, false]) {
    await maintenance.set({ drained, holder: "update", reason: update });
    t.match(maintenance.current(), { drained: true, holder: "alice", reason: person });
  }
  t.match((await open(os)).maintenance.current(), { drained: true, holder: "alice", reason: person });
  await maintenance.set({ drained: false, holder: "alice", reason: undefined });
  t.match(maintenance.current(), { drained: false, reason: undefined });
  t.strictSame(
    told.map(({ message }) => message),
    ["drained by update for a rolling update", "drained by alice", "undrained by alice"],
  );
});

t.test("the agent undrains a node only if a rolling update drained it and no other drain followed", async (t) => {
  const { maintenance } = await open(createFakeOs());
  const reason = DrainReason.DRAIN_REASON_ROLLING_UPDATE;
  const first = await maintenance.set({ drained: true, holder: "update", reason });
  await maintenance.set({ drained: false, holder: "update", reason });
  const second = await maintenance.set({ drained: true, holder: "update", reason });
  await maintenance.undrainLeft(first, { holder: "the agent", mayUndrain: async () => true });
  t.ok(maintenance.current().drained);
  const again = await maintenance.set({ drained: true, holder: "update", reason });
  await maintenance.undrainLeft(second, { holder: "the agent", mayUndrain: async () => true });
  t.ok(maintenance.current().drained, "the node stays drained, because a second drain followed the first one");
  await maintenance.undrainLeft(again, { holder: "the agent", mayUndrain: async () => false });
  t.ok(maintenance.current().drained, "the node stays drained because its API server is not healthy");
  await maintenance.undrainLeft(again, { holder: "the agent", mayUndrain: async () => true });
  t.match(maintenance.current(), { drained: false, holder: "the agent" });
  const ofPerson = await maintenance.set({ drained: true, holder: "alice", reason: undefined });
  await maintenance.undrainLeft(ofPerson, { holder: "the agent", mayUndrain: async () => true });
  t.ok(maintenance.current().drained);
});
