import t from "tap";
import { createStatusStore, mergeChanges } from "../../../../agent/state/status-store.ts";
import {
  CertificateState,
  type Component,
  DriftPolicy,
  Health,
  type Operation,
  OperationState,
  type StatusChange,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";

function component(name: string, changes: Partial<Component> = {}): Component {
  return {
    name,
    activeState: "active",
    subState: "running",
    enabled: true,
    version: "v1.21.0",
    pid: 1,
    sinceUnixMillis: 1,
    restarts: 0,
    health: Health.HEALTH_HEALTHY,
    reason: "",
    diagnosis: undefined,
    supervisedRestarts: 0,
    nextRestartUnixMillis: 0,
    emulatedVersion: "",
    ...changes,
  };
}

function operation(state: OperationState): Operation {
  return { id: "1", holder: "alice", startedUnixMillis: 1, state, error: undefined };
}

const certificate = {
  path: "/var/lib/kubernetes/ca.pem",
  subject: "CN=Kubernetes",
  expiresUnixMillis: 1,
  state: CertificateState.CERTIFICATE_STATE_OK,
  reason: "",
};

t.test("a changed component is reported in full, and unchanged components are left out", async (t) => {
  const statusStore = createStatusStore(undefined);
  statusStore.publish({ components: [component("nginx"), component("etcd")] });
  const heard: StatusChange[] = [];
  const stop = statusStore.listen((change) => heard.push(change));
  statusStore.publish({ components: [component("nginx", { pid: 2 }), component("etcd")] });
  t.strictSame(
    heard.map(({ components }) => components),
    [[component("nginx", { pid: 2 })]],
  );
  t.strictSame(statusStore.read().components, [component("etcd"), component("nginx", { pid: 2 })]);
  stop();
  statusStore.publish({ components: [component("nginx")] });
  t.equal(heard.length, 1, "a listener that has been stopped receives no further changes");
});

t.test("components are listed in a fixed order, regardless of the order in which they are published", async (t) => {
  const statusStore = createStatusStore(undefined);
  for (const name of ["nginx", "kube-scheduler", "etcd", "kube-apiserver", "kube-controller-manager"]) {
    statusStore.publish({ components: [component(name)] });
  }
  t.strictSame(
    statusStore.read().components.map(({ name }) => name),
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "nginx"],
  );
});

t.test("no part of the status is reported as changed if an equal value is published", async (t) => {
  const statusStore = createStatusStore(operation(OperationState.OPERATION_STATE_SUCCEEDED));
  const drift = { policy: DriftPolicy.DRIFT_POLICY_REPAIR, checkedUnixMillis: 5, steps: [], paused: "" };
  const maintenance = { drained: true, holder: "alice", sinceUnixMillis: 3 };
  const parts = { components: [component("nginx")], certificates: [certificate], drift, maintenance };
  statusStore.publish(parts);
  let heard = 0;
  statusStore.listen(() => heard++);
  statusStore.publish({ ...structuredClone(parts), operation: operation(OperationState.OPERATION_STATE_SUCCEEDED) });
  t.equal(heard, 0);
  statusStore.publish({ operation: operation(OperationState.OPERATION_STATE_RUNNING) });
  statusStore.publish({ drift: { ...drift, checkedUnixMillis: 6 } });
  statusStore.publish({ maintenance: { ...maintenance, drained: false } });
  statusStore.publish({ certificates: [{ ...certificate, expiresUnixMillis: 2 }] });
  t.equal(heard, 4);
});

t.test("consecutive changes are merged into a single change with the newest value of each part", async (t) => {
  const statusStore = createStatusStore(undefined);
  const heard: StatusChange[] = [];
  statusStore.listen((change) => heard.push(change));
  statusStore.publish({ components: [component("nginx"), component("etcd")], certificates: [certificate] });
  statusStore.publish({ components: [component("nginx", { pid: 2 })] });
  statusStore.publish({ operation: operation(OperationState.OPERATION_STATE_RUNNING) });
  statusStore.publish({ components: [component("nginx", { pid: 3 })] });
  const [first, ...rest] = heard;
  if (first === undefined) throw new Error("no change was reported");
  const merged = rest.reduce(mergeChanges, first);
  t.strictSame(merged.components, [component("etcd"), component("nginx", { pid: 3 })]);
  t.strictSame(
    merged.certificates,
    [certificate],
    "a pending part of the status is kept if later changes do not contain that part",
  );
  t.equal(merged.operation?.state, OperationState.OPERATION_STATE_RUNNING);
});
