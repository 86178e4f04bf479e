import t from "tap";
import { OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
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
    "restart kube-apiserver",
    "restart kube-controller-manager",
    "restart kube-scheduler",
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
