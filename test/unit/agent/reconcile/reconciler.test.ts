import t, { type Test } from "tap";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import type { HistoryEntry, History } from "../../../../agent/history/history.ts";
import { openNewVersion } from "../../../../agent/reconcile/new-version.ts";
import { createReconciler } from "../../../../agent/reconcile/reconciler.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { openKeptState } from "../../../../agent/state/desired-state.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { KhwError } from "../../../../proto/errors.ts";
import {
  type DesiredState,
  DriftPolicy,
  type DriftStatus,
  HistoryKind,
  OperationState,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { applyAll, labDesired, labMachine, never } from "../../../fixtures/machine.ts";

const schedulerUnit = "/etc/systemd/system/kube-scheduler.service";
const report = { supervision: { driftPolicy: DriftPolicy.DRIFT_POLICY_REPORT } };

interface KeptOptions {
  /** The version of the agent that ran on the machine before. */
  readonly before?: string;
  /** A change to the machine before the first check. */
  readonly change?: (os: FakeOs) => void;
}

/** Creates a bootstrapped machine, and a reconciler that has already checked the machine once. */
async function kept(t: Test, changes: Partial<DesiredState> = {}, { before, change }: KeptOptions = {}) {
  const ending = new AbortController();
  t.teardown(() => ending.abort(new Error("the test is over")));
  const { signal } = ending;
  // The interval keeps the process alive, because the reconciler's own timers do not.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const os = labMachine();
  const desired = labDesired(changes);
  const steps = (state: typeof desired) => controllerSteps(state, { drained: false });
  await applyAll(steps(desired), os);
  const keptState = await openKeptState(os.files, { folder: "/var/lib/khw-agent" });
  await keptState.save("operation-1", desired);
  if (before !== undefined) os.files.put("/var/lib/khw-agent/agreed-version", `${before}\n`);
  change?.(os);
  const told: HistoryEntry[] = [];
  const history: History = {
    append: (entry) => void told.push(entry),
    list: async () => [],
    newest: () => 0,
    listen: () => () => {},
    settled: async () => {},
  };
  const statusStore = createStatusStore(undefined);
  const machineLock = createMachineLock({ clock: os.clock, signal });
  const lines: string[] = [];
  const records: { damage: string | undefined } = { damage: undefined };
  const leases = { busy: false, taken: 0 };
  const lease = {
    take: async () => {
      if (leases.busy) throw new KhwError("BUSY", "controller-1 restarts its API server");
      leases.taken++;
      return { [Symbol.asyncDispose]: async () => {} };
    },
  };
  const log = (line: string): void => void lines.push(line);
  const newVersion = await openNewVersion({ files: os.files, folder: "/var/lib/khw-agent", version: "0.2.0", log });
  const operationDamage = (): string | undefined => records.damage;
  const options = {
    operationDamage,
    newVersion,
    os,
    steps,
    keptState,
    machineLock,
    statusStore,
    history,
    lease,
    intervalMillis: 3_600_000,
    log,
    signal,
  };
  const reconciler = createReconciler(options);

  /** Resolves with the status store's drift as soon as the drift meets the condition. */
  const drift = (so: (status: DriftStatus) => boolean): Promise<DriftStatus> =>
    new Promise((resolve) => {
      const stop = statusStore.listen(({ drift: changed }) => {
        if (changed === undefined || !so(changed)) return;
        stop();
        resolve(changed);
      });
    });
  /** Changes the machine, and waits for a check whose result meets the condition. */
  const after = async (change: () => void | Promise<void>, so: (status: DriftStatus) => boolean) => {
    await change();
    os.clock.advance(1000);
    const found = drift(so);
    os.files.tell("/etc/systemd/system");
    return found;
  };
  await drift(({ checkedUnixMillis }) => checkedUnixMillis > 0);
  return {
    records,
    os,
    statusStore,
    machineLock,
    keptState,
    told,
    lines,
    leases,
    newVersion,
    reconciler,
    drift,
    after,
    steps,
    desired,
  };
}

const settled = ({ steps, paused }: DriftStatus): boolean => steps.length === 0 && paused === "";
const standing = ({ steps }: DriftStatus): boolean => steps.length > 0;
const handEdit = "[Service]\nExecStart=/bin/true\n";

t.test("a machine without drift is not changed", async (t) => {
  const { os, told, statusStore } = await kept(t);
  const before = os.changes().length;
  t.strictSame([os.changes().length, told], [before, []]);
  t.match(statusStore.read().drift, { policy: DriftPolicy.DRIFT_POLICY_REPAIR, steps: [], paused: "" });
  t.ok(os.files.watched().includes("/etc/systemd/system/multi-user.target.wants"));
});

t.test("drift is repaired and reported without restarting services that run correctly", async (t) => {
  const { os, told, after } = await kept(t);
  const { mainPid } = await os.systemd.unit("kube-scheduler.service");
  const wanted = os.files.text(schedulerUnit);
  const repaired = after(() => os.files.put(schedulerUnit, handEdit), standing);
  await repaired;
  await after(() => {}, settled);
  t.equal(os.files.text(schedulerUnit), wanted);
  t.equal((await os.systemd.unit("kube-scheduler.service")).mainPid, mainPid);
  t.match(told, [
    {
      kind: HistoryKind.HISTORY_KIND_REPAIR,
      subject: "unit/kube-scheduler",
      message: "its content differs: repaired",
      cause: /operation-1/,
    },
  ]);
});

t.test("a new agent version only reports drift until a check has found no drift", async (t) => {
  const change = (os: FakeOs): void => os.files.put(schedulerUnit, handEdit);
  const { statusStore, newVersion, after, os } = await kept(t, {}, { before: "0.1.0", change });
  t.match(statusStore.read().drift, {
    policy: DriftPolicy.DRIFT_POLICY_REPORT,
    steps: [{ id: "unit/kube-scheduler" }],
  });
  t.equal(os.files.text(schedulerUnit), handEdit, "the edited file is not repaired");
  // The agent makes the same call after a successful operation.
  await newVersion.agrees();
  await after(() => {}, settled);
  t.not(os.files.text(schedulerUnit), handEdit);
});

t.test("a new agent version whose first check finds no drift repairs later drift", async (t) => {
  const { after, os, newVersion } = await kept(t, {}, { before: "0.1.0" });
  t.equal(newVersion.holdsBack(), false);
  await after(() => os.files.put(schedulerUnit, handEdit), standing);
  await after(() => {}, settled);
  t.not(os.files.text(schedulerUnit), handEdit);
});

t.test("a crashed component is not reported as drift", async (t) => {
  const { os, told, after } = await kept(t);
  await after(() => os.systemd.crash("kube-scheduler.service", "exit-code"), settled);
  t.strictSame(told, []);
  t.match(await os.systemd.unit("kube-scheduler.service"), { activeState: "failed" });
});

t.test(
  "drift that khw cannot repair is reported once, with the remedy, and does not block other repairs",
  async (t) => {
    const { os, told, after, statusStore } = await kept(t);
    const dropIn = "/etc/systemd/system/kube-scheduler.service.d/70-mine.conf";
    const wanted = os.files.text(schedulerUnit);
    const alone = ({ steps }: DriftStatus): boolean => steps.length === 1;
    // Before the edit, a separate repair makes systemd load the drop-in.
    await after(() => os.files.put(dropIn, "[Service]\nNice=5\n"), alone);
    await after(
      () => os.files.put(schedulerUnit, handEdit),
      ({ steps }) => steps.length > 1,
    );
    await after(() => {}, alone);
    t.equal(os.files.text(schedulerUnit), wanted);
    t.equal(os.files.text(dropIn), "[Service]\nNice=5\n");
    t.match(statusStore.read().drift.steps, [
      { id: "drop-ins/kube-scheduler", repairs: 0, nextRepairUnixMillis: 0, remedy: /rm .*70-mine\.conf/ },
    ]);
    t.match(
      told.filter(({ subject }) => subject === "drop-ins/kube-scheduler"),
      [
        {
          kind: HistoryKind.HISTORY_KIND_DRIFT,
          message: /70-mine\.conf was not written by khw.*; khw does not repair this itself; remedy: on the node: rm/,
        },
      ],
    );
    await after(() => os.files.drop(dropIn), settled);
    t.match(
      told.filter(({ subject }) => subject === "drop-ins/kube-scheduler"),
      [{ problem: true }, { message: "is in the desired state again" }],
    );
  },
);

t.test(
  "if the drift policy is to report only, drift is not repaired, and its start and end are each reported once",
  async (t) => {
    const { os, told, after, statusStore } = await kept(t, report);
    const wanted = os.files.text(schedulerUnit) ?? "";
    await after(() => os.files.put(schedulerUnit, handEdit), standing);
    await after(() => {}, standing);
    t.equal(os.files.text(schedulerUnit), handEdit);
    t.match(statusStore.read().drift.steps, [
      { id: "unit/kube-scheduler", drift: "its content differs", nextRepairUnixMillis: 0 },
      { id: "service/kube-scheduler" },
    ]);
    await after(() => os.files.put(schedulerUnit, wanted), settled);
    const unit = told.filter(({ subject }) => subject === "unit/kube-scheduler");
    t.match(unit, [
      { kind: HistoryKind.HISTORY_KIND_DRIFT, message: "its content differs", problem: true },
      { kind: HistoryKind.HISTORY_KIND_DRIFT, message: "is in the desired state again" },
    ]);
    t.equal(unit.length, 2);
  },
);

t.test("a failed repair is reported with its reason, shown in the status, and retried only later", async (t) => {
  const { os, told, after, lines } = await kept(t);
  os.nginxComplaint = "unknown directive";
  const site = "/etc/nginx/sites-available/kubernetes.default.svc.cluster.local";
  const status = await after(
    () => os.files.put(site, "server {}"),
    ({ steps }) => steps.some(({ error }) => error !== undefined),
  );
  t.match(status.steps, [{ id: "service/nginx", error: { message: "unknown directive" } }]);
  t.equal((status.steps[0]?.nextRepairUnixMillis ?? 0) > os.clock.now(), true);
  t.match(
    told.find(({ kind }) => kind === HistoryKind.HISTORY_KIND_DRIFT),
    { subject: "service/nginx", message: /cannot be repaired/, cause: /unknown directive/, problem: true },
  );
  t.match(lines.join("\n"), /^service\/nginx: .*cannot be repaired.*unknown directive/m);
  const attempts = told.length;
  await after(() => {}, standing);
  t.equal(told.length, attempts, "the repair is not retried before the next attempt is due");
  os.nginxComplaint = "";
  os.clock.advance(120_000);
  await after(() => {}, settled);
});

t.test("an agent that cannot trust its own observations reports why and postpones repairs", async (t) => {
  const { os, after, lines, leases } = await kept(t);
  const sound = os.self;
  const doubts = [
    { ...sound, loopback: "connect EMFILE 127.0.0.1:4711" },
    { ...sound, lateMillis: 5000 },
    { ...sound, freeBytes: 1024 * 1024 },
    { ...sound, memoryShare: 0.99 },
  ];
  for (const doubt of doubts) {
    const changes = os.changes().length;
    os.self = doubt;
    const found = await after(
      () => os.files.put(schedulerUnit, handEdit),
      ({ steps }) => steps.some(({ error }) => error !== undefined),
    );
    const error = {
      code: "NOT_READY",
      message: /^nothing was changed, because the agent cannot trust its own observations: /,
    };
    t.match(found.steps, [{ id: "unit/kube-scheduler", repairs: 0, error }]);
    await after(() => {}, standing);
    t.equal(os.files.text(schedulerUnit), handEdit);
    t.equal(os.changes().length, changes, "nothing was changed");
    os.self = sound;
    await after(() => {}, settled);
    t.not(os.files.text(schedulerUnit), handEdit, "the edited file is repaired");
    os.clock.advance(7_200_000);
  }
  t.equal(
    lines.filter((line) => line.includes("cannot trust its own observations")).length,
    doubts.length,
    "each reason for distrust is logged once",
  );
  t.equal(leases.taken, 0);
});

t.test("a repair that is undone repeatedly is delayed, and the delay is reported", async (t) => {
  const { os, told, after } = await kept(t);
  for (let time = 0; time < 3; time++) {
    await after(() => os.files.put(schedulerUnit, handEdit), settled);
    t.not(os.files.text(schedulerUnit), handEdit);
  }
  const status = await after(() => os.files.put(schedulerUnit, handEdit), standing);
  t.match(status.steps[0], { id: "unit/kube-scheduler", repairs: 3 });
  await after(() => {}, standing);
  t.equal(os.files.text(schedulerUnit), handEdit);
  t.match(
    told.filter(({ kind, subject }) => kind === HistoryKind.HISTORY_KIND_DRIFT && subject === "unit/kube-scheduler"),
    [{ message: /the next repair is due at/, cause: /3 times/, problem: true }],
  );
});

t.test("an API server restart waits while another API server of the cluster is restarting", async (t) => {
  const { os, leases, after } = await kept(t);
  const { mainPid } = await os.systemd.unit("kube-apiserver.service");
  const unit = "/etc/systemd/system/kube-apiserver.service";
  const wanted = os.files.text(unit) ?? "";
  const restartedByHand = async (): Promise<void> => {
    os.files.put(unit, wanted.replace("--v=2", "--v=9"));
    await os.systemd.reload();
    await os.systemd.restart("kube-apiserver.service", never);
  };
  leases.busy = true;
  const busy = await after(restartedByHand, ({ steps }) => steps.some(({ error }) => error?.code === "BUSY"));
  t.match(busy.steps, [{ id: "service/kube-apiserver" }]);
  t.equal(os.files.text(unit), wanted, "the unit file is repaired while the restart waits");
  t.not((await os.systemd.unit("kube-apiserver.service")).mainPid, mainPid);
  leases.busy = false;
  const edited = (await os.systemd.unit("kube-apiserver.service")).mainPid;
  await after(() => {}, settled);
  t.not((await os.systemd.unit("kube-apiserver.service")).mainPid, edited);
  t.equal(leases.taken, 1);
});

t.test("no repair restarts an API server whose KMS plugin does not work", async (t) => {
  const kms = { unit: "vault-kms.service", socket: "/run/kms/socket" };
  const { os, leases, after } = await kept(t, { kms });
  const unit = "/etc/systemd/system/kube-apiserver.service";
  const wanted = os.files.text(unit) ?? "";
  os.files.put(unit, wanted.replace("--v=2", "--v=9"));
  await os.systemd.reload();
  await os.systemd.restart("kube-apiserver.service", never);
  const { mainPid } = await os.systemd.unit("kube-apiserver.service");
  const refused = await after(
    () => {},
    ({ steps }) => steps.some(({ error }) => error?.code === "NOT_READY"),
  );
  t.match(
    refused.steps.find(({ id }) => id === "service/kube-apiserver"),
    { error: { message: /would lose its data keys: the unit vault-kms\.service.*does not exist/, hint: /install/ } },
  );
  t.equal(os.files.text(unit), wanted, "the unit file is repaired");
  t.equal((await os.systemd.unit("kube-apiserver.service")).mainPid, mainPid);

  os.files.put(`/lib/systemd/system/${kms.unit}`, "[Service]\nExecStart=/usr/bin/vault-kms\n");
  await os.systemd.start(kms.unit, never);
  await os.files.mkdir("/run/kms", 0o755);
  await os.files.symlink("/run/kms/other", kms.socket);
  os.clock.advance(120_000);
  await after(() => {}, settled);
  t.not(
    (await os.systemd.unit("kube-apiserver.service")).mainPid,
    mainPid,
    "the plugin works, so the repair restarts the API server",
  );
  t.ok(leases.taken > 0);
});

t.test("the drift check pauses while an operation holds the machine and runs immediately afterwards", async (t) => {
  const { os, machineLock, after, drift, told } = await kept(t);
  let free = (): void => {};
  const held = machineLock.lock("admin from 10.240.0.1", () => new Promise<void>((resolve) => (free = resolve)));
  const status = await after(
    () => os.files.put(schedulerUnit, handEdit),
    ({ paused }) => paused !== "",
  );
  t.match(status, { paused: /admin from 10\.240\.0\.1 is working/, steps: [] });
  t.equal(os.files.text(schedulerUnit), handEdit);
  const mended = drift(settled);
  free();
  await held;
  await mended;
  t.ok(told.some(({ subject }) => subject === "unit/kube-scheduler"));
});

t.test("the drift check pauses after an operation with a different desired state has failed", async (t) => {
  const { os, statusStore, after } = await kept(t);
  const operation = {
    id: "operation-2",
    holder: "admin",
    startedUnixMillis: 0,
    state: OperationState.OPERATION_STATE_FAILED,
    error: undefined,
  };
  statusStore.publish({ operation });
  await after(
    () => os.files.put(schedulerUnit, handEdit),
    ({ paused }) => /failed/.test(paused),
  );
  t.equal(os.files.text(schedulerUnit), handEdit);
});

t.test("a plan shows how texts differ, but contains no secrets", async (t) => {
  const { os, reconciler } = await kept(t, report);
  os.files.put(schedulerUnit, handEdit);
  os.files.put("/var/lib/kubernetes/ca-key.pem", "somebody's key", 0o644);
  await os.files.symlink("/var/lib/kubernetes/ca-key.pem", "/etc/systemd/system/kube-apiserver.service");
  const { steps, differences } = await reconciler.plan(never);
  t.match(
    steps.filter(({ drift }) => drift !== undefined).map(({ id }) => id),
    ["credential/ca-key.pem", "unit/kube-apiserver", "unit/kube-scheduler", "service/kube-apiserver"],
  );
  t.match(differences, [
    { step: "unit/kube-apiserver", found: undefined, wanted: /kube-apiserver/ },
    { step: "unit/kube-scheduler", path: schedulerUnit, found: handEdit, wanted: /--v=2/ },
  ]);
  t.notMatch(JSON.stringify([steps, differences]), /somebody's key|content of ca-key/);
});

t.test("nothing is repaired while the record of the last operation cannot be read", async (t) => {
  const { os, records, after } = await kept(t);
  records.damage = "/var/lib/khw-agent/operation cannot be read: it is empty";
  const changesBefore = os.changes().length;
  const { paused } = await after(
    () => os.files.put(schedulerUnit, "changed"),
    (status) => status.paused !== "",
  );
  t.match(paused, /operation cannot be read: it is empty, so the desired state is unknown/);
  t.equal(os.changes().length, changesBefore);
  t.equal(os.files.text(schedulerUnit), "changed");
});
