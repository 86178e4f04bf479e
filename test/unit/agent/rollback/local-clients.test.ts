import t from "tap";
import { controllerSteps } from "../../../../agent/steps.ts";
import { createLocalClients } from "../../../../agent/steps/local-clients.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { applyAll, labDesired, labMachine } from "../../../fixtures/machine.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { older, newer, scene, crashWhenNewer } from "../../../fixtures/rollback-scene.ts";

t.test("during a rollback, no client is newer than its API server", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-scheduler");
  const before = os.systemd.changes.length;
  t.match(await apply(newer), { operation: { rolledBack: { error: undefined } } });
  const order = os.systemd.changes
    .slice(before)
    .filter((change) => /^(start|stop|restart) kube-/.test(change))
    .map((change) => change.replace(".service", ""));
  t.strictSame(order, [
    "stop kube-controller-manager",
    "stop kube-scheduler",
    "restart kube-apiserver",
    "start kube-controller-manager",
    "start kube-scheduler",
    "stop kube-controller-manager",
    "restart kube-apiserver",
    "start kube-controller-manager",
    "start kube-scheduler",
  ]);
});

t.test(
  "during a requested downgrade, no client is newer than its API server, even after a failed upgrade",
  async (t) => {
    const { os, apply, ending } = await scene(t, { kept: newer });
    const stops = () => os.systemd.changes.filter((change) => /^(stop|start|restart) kube-/.test(change)).slice(-5);
    t.match(await apply(older), { operation: { state: OperationState.OPERATION_STATE_SUCCEEDED } });
    const wanted = [
      "stop kube-controller-manager.service",
      "stop kube-scheduler.service",
      "restart kube-apiserver.service",
      "start kube-controller-manager.service",
      "start kube-scheduler.service",
    ];
    t.strictSame(new Set(stops().slice(0, 2)), new Set(wanted.slice(0, 2)));
    t.strictSame(stops().slice(2), wanted.slice(2));

    // The upgrade fails before the saved desired state changes.
    crashWhenNewer(os, "nginx");
    os.nginxComplaint = "broken";
    await apply(newer, { noRollback: true });
    ending.abort();
    os.nginxComplaint = "";
    const { apply: again } = await scene(t, { os, kept: null });
    t.match(await again(older), { operation: { state: OperationState.OPERATION_STATE_SUCCEEDED } });
    t.strictSame(stops().slice(2), wanted.slice(2));
  },
);

/** Returns the starts, stops and restarts of Kubernetes components since the call, without "kube-" and ".service". */
function changesFrom(os: FakeOs): () => string[] {
  const before = os.systemd.changes.length;
  return () =>
    os.systemd.changes
      .slice(before)
      .filter((change) => /^(start|stop|restart) kube-/.test(change))
      .map((change) => change.replace("kube-", "").replace(".service", ""));
}

const verbose = (...components: readonly string[]) =>
  labDesired({ flags: Object.fromEntries(components.map((name) => [name, { set: { v: "4" }, remove: [] }])) });

t.test("the clients are stopped only by an operation, and only if the API server really restarts", async (t) => {
  const os = labMachine();
  const clients = createLocalClients(os);
  const changes = async (desired: Parameters<typeof controllerSteps>[0], local = { drained: false, clients }) => {
    const made = changesFrom(os);
    const { errors } = await applyAll(controllerSteps(desired, local), os);
    return { errors, changes: made() };
  };
  const starts = ["start apiserver", "start controller-manager", "start scheduler"];
  t.strictSame(await changes(older), { errors: [], changes: starts }, "nothing runs on a new machine");

  const scheduler = verbose("kube-scheduler");
  t.strictSame(await changes(scheduler), { errors: [], changes: ["restart scheduler"] });

  const lost = { ...scheduler, kms: { unit: "vault-kms.service", socket: "/run/kms/socket" } };
  t.match(await changes(lost), { errors: [{ code: "NOT_READY" }], changes: [] }, "the restart is refused first");

  const made = changesFrom(os);
  t.strictSame((await applyAll(controllerSteps(verbose("kube-apiserver"), { drained: false }), os)).errors, []);
  t.strictSame(made(), ["restart apiserver", "restart scheduler"], "a repair stops no client");
});

t.test("the API server does not restart if a file of its clients cannot be written", async (t) => {
  const { os, apply } = await scene(t);
  const write = os.files.write.bind(os.files);
  Object.assign(os.files, {
    write: async (...[path, ...rest]: Parameters<typeof write>) => {
      if (path.endsWith("/kube-controller-manager.service")) throw new KhwError("IO_FAILED", "the disk is full");
      await write(path, ...rest);
    },
  });
  const made = changesFrom(os);
  t.match(await apply(verbose("kube-apiserver", "kube-controller-manager")), {
    operation: { error: { code: "IO_FAILED" } },
  });
  t.strictSame(made(), []);
});

t.test("after a failed operation, the clients that it stopped run again", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  const made = changesFrom(os);
  t.match(await apply(newer, { noRollback: true }), { operation: { error: { code: "SERVICE_FAILED" } } });
  t.strictSame(made().slice(0, 3), ["stop controller-manager", "stop scheduler", "restart apiserver"]);
  t.strictSame(made().slice(3), ["start controller-manager", "start scheduler"]);
});

t.test("a client starts again even if another client cannot be started", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  os.systemd.failing.set("kube-controller-manager.service", "exit-code");
  const made = changesFrom(os);
  t.match(await apply(newer, { noRollback: true }), { operation: { error: { code: "SERVICE_FAILED" } } });
  t.strictSame(made().slice(3), ["start controller-manager", "start scheduler"]);
  t.equal((await os.systemd.unit("kube-scheduler.service")).activeState, "active");
});

t.test("a client starts again if another client cannot be stopped", async (t) => {
  const { os, apply } = await scene(t);
  const stop = os.systemd.stop.bind(os.systemd);
  Object.assign(os.systemd, {
    stop: async (...[name, signal]: Parameters<typeof stop>) => {
      if (name === "kube-scheduler.service") throw new KhwError("SERVICE_FAILED", "the job was canceled");
      await stop(name, signal);
    },
  });
  const made = changesFrom(os);
  t.match(await apply(verbose("kube-apiserver")), { operation: { error: { message: /the job was canceled/ } } });
  t.strictSame(made(), ["stop controller-manager", "start controller-manager"]);
});

t.test("a client that was stopped before the operation stays stopped if the operation fails", async (t) => {
  const { os, apply } = await scene(t);
  t.match(await apply(verbose("kube-apiserver")), { operation: { error: undefined } });
  await os.systemd.stop("kube-scheduler.service", new AbortController().signal);
  crashWhenNewer(os, "kube-apiserver");
  const made = changesFrom(os);
  await apply(newer, { noRollback: true });
  t.strictSame(made().slice(2), ["start controller-manager"]);
});
