import t from "tap";
import { controllerSteps } from "../../../../agent/steps.ts";
import { OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { applyAll, labDesired, labMachine } from "../../../fixtures/machine.ts";
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
  "during a requested downgrade, no client is newer than its API server, even after an interruption",
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

t.test("the clients are stopped only by an operation, and only if the API server really restarts", async (t) => {
  const os = labMachine();
  const changes = async (desired: Parameters<typeof controllerSteps>[0], startsClients = true) => {
    const before = os.systemd.changes.length;
    const { errors } = await applyAll(controllerSteps(desired, { drained: false, startsClients }), os);
    const kubernetes = os.systemd.changes.slice(before).filter((change) => /^(start|stop|restart) kube-/.test(change));
    return { errors, changes: kubernetes.map((change) => change.replace(/ kube-|\.service/g, " ").trim()) };
  };
  const starts = ["start apiserver", "start controller-manager", "start scheduler"];
  t.strictSame(await changes(older), { errors: [], changes: starts }, "nothing runs on a new machine");

  const verbose = (component: string) => labDesired({ flags: { [component]: { set: { v: "4" }, remove: [] } } });
  const scheduler = verbose("kube-scheduler");
  t.strictSame(await changes(scheduler), { errors: [], changes: ["restart scheduler"] });

  const lost = { ...scheduler, kms: { unit: "vault-kms.service", socket: "/run/kms/socket" } };
  t.match(await changes(lost), { errors: [{ code: "NOT_READY" }], changes: [] }, "the restart is refused first");

  const repaired = await changes(verbose("kube-apiserver"), false);
  t.strictSame(
    repaired,
    { errors: [], changes: ["restart apiserver", "restart scheduler"] },
    "a repair stops no client",
  );
});
