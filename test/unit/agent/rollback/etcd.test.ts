import t from "tap";
import type { Event } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { etcdRelease, labDesiredWithEtcd, labMachine } from "../../../fixtures/machine.ts";
import { etcdServers, scene, crashWhenNewer } from "../../../fixtures/rollback-scene.ts";

/** Creates a fake machine with an etcd that khw manages. */
function etcdMachine(): FakeOs {
  const os = labMachine();
  for (const version of ["v3.4.99", "v3.5.99"]) etcdRelease(os, version);
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  for (const member of os.etcd.members) member.started = false;
  return os;
}

function clusterVersion(os: FakeOs, version: string | undefined): void {
  for (const server of etcdServers) {
    const url = `${server}/version`;
    if (version === undefined) os.answers.delete(url);
    else os.answers.set(url, { status: 200, body: `{"etcdserver":"3.5.99","etcdcluster":"${version}"}` });
  }
}

const withEtcd = (version: string, kubernetesVersion = "v1.21.0") => {
  const state = labDesiredWithEtcd({ kubernetesVersion });
  return { ...state, etcd: { ...state.etcd, version } };
};

t.test("etcd is rolled back with the node if the etcd cluster version is still the old version", async (t) => {
  const { os, apply, runs } = await scene(t, { os: etcdMachine(), kept: withEtcd("v3.4.99") });
  clusterVersion(os, "3.4.0");
  crashWhenNewer(os, "kube-apiserver");
  const before = os.systemd.changes.length;
  t.match(await apply(withEtcd("v3.5.99", "v1.22.0")), { operation: { rolledBack: { error: undefined } } });
  t.match(runs("etcd"), "v3.4.99");
  const order = os.systemd.changes.slice(before).filter((change) => /^(start|stop|restart) etcd/.test(change));
  t.strictSame(order, ["restart etcd.service", "stop etcd.service", "start etcd.service"]);
});

t.test("etcd is not rolled back if the etcd cluster version is the new version or is unknown", async (t) => {
  for (const [version, why] of [
    ["3.5.0", /the cluster version of etcd is already 3\.5\.0/],
    [undefined, /only 0 of 3 etcd members report the cluster version/],
  ] as const) {
    const { os, apply, runs } = await scene(t, { os: etcdMachine(), kept: withEtcd("v3.4.99") });
    clusterVersion(os, version);
    crashWhenNewer(os, "kube-apiserver");
    const { operation } = await apply(withEtcd("v3.5.99", "v1.22.0"));
    t.match(operation, { rolledBack: undefined, error: { hint: why } });
    t.match(runs("etcd"), "v3.5.99");
    t.match(await os.systemd.unit("etcd.service"), { activeState: "active" });
  }
});

t.test("if the cluster version changes while the newer etcd stops, the newer etcd is kept", async (t) => {
  const { os, apply, runs } = await scene(t, { os: etcdMachine(), kept: withEtcd("v3.4.99") });
  clusterVersion(os, "3.4.0");
  crashWhenNewer(os, "kube-apiserver");
  const stop = os.systemd.stop.bind(os.systemd);
  Object.assign(os.systemd, {
    stop: async (...[name, signal]: Parameters<typeof stop>) => {
      if (name === "etcd.service") clusterVersion(os, "3.5.0");
      await stop(name, signal);
    },
  });
  const { operation } = await apply(withEtcd("v3.5.99", "v1.22.0"));
  t.match(operation, { rolledBack: { error: { step: "stopped/etcd" } } });
  t.match(runs("etcd"), "v3.5.99");
  t.match(await os.systemd.unit("etcd.service"), { activeState: "active" });
});

t.test("a rollback does not stop etcd if the other members have no quorum", async (t) => {
  const { os, apply, runs } = await scene(t, { os: etcdMachine(), kept: withEtcd("v3.4.99") });
  clusterVersion(os, "3.4.0");
  crashWhenNewer(os, "kube-apiserver");
  const onEvent = ({ kind }: Event): void => {
    if (kind?.$case === "stepFinished" && kind.value.step === "service/kube-apiserver")
      os.etcd.up.delete("10.240.0.12");
  };
  const before = os.systemd.changes.length;
  const { operation, kinds } = await apply(withEtcd("v3.5.99", "v1.22.0"), { onEvent });
  t.match(
    operation?.error?.hint,
    /its etcd must not be stopped now: the quorum needs 2 of 3 members, but .* only 1 would be healthy/,
  );
  t.notOk(kinds.includes("rollbackStarted"));
  t.match(runs("etcd"), "v3.5.99");
  t.strictSame(
    os.systemd.changes.slice(before).filter((change) => /^(start|stop|restart) etcd/.test(change)),
    ["restart etcd.service"],
  );
});

t.test("a rollback never replaces an etcd member that has lost its data", async (t) => {
  const { os, apply } = await scene(t, { os: etcdMachine(), kept: withEtcd("v3.4.99") });
  clusterVersion(os, "3.4.0");
  crashWhenNewer(os, "kube-apiserver");
  const onEvent = ({ kind }: Event): void => {
    if (kind?.$case === "rollbackStarted") os.files.drop("/var/lib/etcd/member/wal/0.wal");
  };
  await apply(withEtcd("v3.4.99", "v1.22.0"), { onEvent });
  t.notOk(os.etcd.changes.some((change) => /^(remove|add)/.test(change)));
});
