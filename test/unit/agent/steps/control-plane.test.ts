import t from "tap";
import type { Downloads } from "../../../../agent/os/downloads.ts";
import type { Os } from "../../../../agent/os/os.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { hasControlPlane } from "../../../../agent/steps/control-plane.ts";
import { components, programs } from "../../../../proto/components.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import {
  applyAll,
  etcdRelease,
  labDesired,
  labDesiredWithEtcd,
  labMachine,
  planAll,
} from "../../../fixtures/machine.ts";

const fresh = { drained: false, isFresh: true };

/** Calls `before` when the download of a file starts. */
function withDownloads(os: FakeOs, before: (path: string) => Promise<void>): Os {
  const file: Downloads["file"] = async (request) => {
    await before(request.path);
    await os.downloads.file(request);
  };
  return { ...os, downloads: { ...os.downloads, file } };
}

const pathOf = (program: string): string => `v1.21.0/bin/linux/amd64/${program}`;

function starts({ systemd }: FakeOs): string[] {
  return systemd.changes.filter((change) => /^(start|restart) kube-/.test(change));
}

t.test("a machine with any program or unit of a control plane counts as having a control plane", async (t) => {
  t.equal(await hasControlPlane(labMachine()), false);
  const unit = "[Service]\nExecStart=/opt/kube\n";
  const paths = [
    ...programs.map((program) => `/usr/local/bin/${program}`),
    ...components.map((component) => `/etc/systemd/system/${component}.service`),
    "/lib/systemd/system/kube-scheduler.service",
  ];
  for (const path of paths) {
    const os = labMachine();
    os.files.put(path, unit);
    t.equal(await hasControlPlane(os), true, path);
  }
});

t.test("a service whose files are missing still counts as a control plane", async (t) => {
  const os = labMachine();
  await applyAll(controllerSteps(labDesired(), fresh), os);
  for (const program of programs) os.files.drop(`/usr/local/bin/${program}`);
  for (const component of components) os.files.drop(`/etc/systemd/system/${component}.service`);
  t.equal(await hasControlPlane(os), true);
});

t.test("etcd and downloaded programs do not count as a control plane", async (t) => {
  const os = labMachine();
  os.files.put("/usr/local/bin/etcd", "etcd");
  os.files.put("/etc/systemd/system/etcd.service", "[Service]\nExecStart=/usr/local/bin/etcd\n");
  os.files.put("/usr/local/lib/khw/kubernetes/v1.21.0/kube-apiserver", "kube-apiserver");
  t.equal(await hasControlPlane(os), false);
});

t.test("a machine that cannot be inspected counts as having a control plane", async (t) => {
  const os = labMachine();
  const fails = () => Promise.reject(new Error("I/O error"));
  t.equal(await hasControlPlane({ ...os, files: { ...os.files, stat: fails } }), true);
  t.equal(await hasControlPlane({ ...os, systemd: { ...os.systemd, unit: fails } }), true);
});

t.test("on a new machine, the API server is ready before the other programs are downloaded", async (t) => {
  const machine = labMachine();
  etcdRelease(machine, "v3.4.99");
  for (const member of machine.etcd.members) member.started = false;
  machine.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  const { systemd } = machine;
  const start = systemd.start.bind(systemd);
  systemd.start = async (name, signal) => {
    if (name === "etcd.service") machine.files.put("/var/lib/etcd/member/wal/0.wal", "etcd's own");
    await start(name, signal);
  };
  const steps = controllerSteps(labDesiredWithEtcd(), fresh);
  const { errors, events } = await applyAll(steps, machine);
  t.strictSame(errors, []);
  const at = (kind: string, step: string) => events.findIndex((event) => event.kind === kind && event.step === step);
  const ready = at("finished", "ready/kube-apiserver");
  t.ok(at("finished", "release/kube-apiserver") < at("started", "service/kube-apiserver"));
  for (const program of programs.slice(1)) t.ok(ready < at("started", `release/${program}`), program);
  t.strictSame(starts(machine)[0], "start kube-apiserver.service");
  const list = (local: { readonly drained: boolean }) =>
    controllerSteps(labDesiredWithEtcd(), local)
      .map(({ id, title }) => `${id}: ${title}`)
      .toSorted();
  t.strictSame(list(fresh), list({ drained: false }), "a new machine has the same steps as any other machine");
});

t.test(
  "on a new machine whose API server does not start, the other programs are downloaded but not started",
  async (t) => {
    const machine = labMachine();
    const { systemd } = machine;
    const start = systemd.start.bind(systemd);
    systemd.start = async (name, signal) => {
      if (name === "kube-apiserver.service") throw new Error("unknown flag");
      await start(name, signal);
    };
    const { errors, changed } = await applyAll(controllerSteps(labDesired(), fresh), machine);
    t.match(errors, [{ step: "service/kube-apiserver" }]);
    for (const program of programs) t.ok(changed.includes(`release/${program}`), program);
    t.strictSame(starts(machine), []);
  },
);

t.test("on a machine without a control plane, a failed download stops only the components that need it", async (t) => {
  const machine = labMachine();
  const broken = withDownloads(machine, async (path) => {
    if (path === pathOf("kube-scheduler")) throw new Error("no route to the mirror");
  });
  const { errors } = await applyAll(controllerSteps(labDesired(), fresh), broken);
  t.match(errors, [{ step: "release/kube-scheduler" }]);
  t.strictSame(starts(machine), ["start kube-apiserver.service", "start kube-controller-manager.service"]);
  for (const path of ["/usr/local/bin/kube-scheduler", "/etc/systemd/system/kube-scheduler.service"]) {
    t.equal(await machine.files.stat(path), undefined, path);
  }

  t.equal(await hasControlPlane(machine), true);
  const steps = controllerSteps(labDesired(), { drained: false });
  t.strictSame((await applyAll(steps, machine)).errors, []);
  t.strictSame(starts(machine).slice(2), ["start kube-scheduler.service"]);
  t.strictSame(await planAll(steps, machine), {});
});

t.test("without the API server's program, no component is installed or started", async (t) => {
  const machine = labMachine();
  machine.mirror.set(pathOf("kube-apiserver"), "tampered");
  const { errors } = await applyAll(controllerSteps(labDesired(), fresh), machine);
  t.match(errors, [{ code: "DIGEST_MISMATCH", step: "release/kube-apiserver" }]);
  t.strictSame(starts(machine), []);
  t.equal(await hasControlPlane(machine), false);
});

t.test("on a machine with a control plane, nothing changes until every program is downloaded", async (t) => {
  const machine = labMachine();
  await applyAll(controllerSteps(labDesired(), fresh), machine);
  const [before, files] = [starts(machine), machine.files.text("/usr/local/bin/kube-apiserver")];
  for (const program of programs) {
    const path = `v1.22.0/bin/linux/amd64/${program}`;
    machine.mirror.set(path, `${program} of v1.22.0`);
  }
  const next = labDesired({ kubernetesVersion: "v1.22.0" });
  t.equal((await applyAll(controllerSteps(next, { drained: false }), machine)).errors.length, programs.length);
  t.strictSame(starts(machine), before);
  t.equal(machine.files.text("/usr/local/bin/kube-apiserver"), files);
});
