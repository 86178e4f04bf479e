import t, { type Test } from "tap";
import { resetSteps } from "../../../../agent/reset/steps.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import type { DesiredState } from "../../../../proto/desired.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { credentialsOf, labState } from "../../../fixtures/lab-cluster.ts";
import { listMachine } from "../../../fixtures/machine-listing.ts";
import {
  applyAll,
  etcdRelease,
  labDesired,
  labDesiredWithEtcd,
  labMachine,
  planAll,
  release,
} from "../../../fixtures/machine.ts";

/** The agent's own folder, and the folders that systemd removes automatically. */
const others = /^\/(?:var\/lib\/khw-agent|run)(\/|$)/;

/** Creates a machine in its state before a bootstrap, with the folders that the agent's package installs. */
async function packagedMachine(): Promise<FakeOs> {
  const os = labMachine();
  for (const one of os.etcd.members) one.started = false;
  etcdRelease(os, "v3.4.99");
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  for (const folder of [
    "/etc/etcd",
    "/etc/kubernetes",
    "/etc/nginx",
    "/var/lib/kubernetes",
    "/usr/local/lib",
    "/var/log",
  ])
    await os.files.mkdir(folder, 0o755);
  await os.files.mkdir("/usr/libexec", 0o755);
  await os.files.mkdir("/lib/systemd/system", 0o755);
  await os.files.mkdir("/usr/sbin", 0o755);
  return os;
}

async function setUp(t: Test, os: FakeOs, desired: DesiredState): Promise<void> {
  t.strictSame((await applyAll(controllerSteps(desired, { drained: false }), os)).errors, []);
}

/** Adds the files and folders that the running programs create. */
function run(os: FakeOs): void {
  for (const page of ["/var/www/html/index.nginx-debian.html", "/usr/share/nginx/html/index.html"])
    if (os.installed.has("nginx")) os.files.put(page, "welcome");
  os.files.put("/var/lib/etcd/member/wal/0.wal", "data");
  os.files.put("/var/lib/etcd/before-restore-20260101T000000Z/wal/0.wal", "old data");
  os.files.put("/var/log/audit.log", "{}");
  os.files.put("/var/log/audit-2026-01-31T12-00-00.000.log", "{}");
  os.files.put("/usr/libexec/kubernetes/kubelet-plugins/volume/exec/.x", "");
  os.files.drop("/usr/libexec/kubernetes/kubelet-plugins/volume/exec/.x");
}

const all = { ownsEtcd: true, purge: true };

const clusters: readonly (readonly [title: string, states: readonly DesiredState[]])[] = [
  ["khw manages etcd", [labDesiredWithEtcd()]],
  ["a separate CA signs", [labDesiredWithEtcd({ credentials: credentialsOf({ signing: true }) })]],
  ["with an aggregation layer", [labDesiredWithEtcd({ credentials: credentialsOf({ aggregation: true }) })]],
  ["etcd has its own CA", [labDesiredWithEtcd({ credentials: credentialsOf({ etcdCa: true }) })]],
  [
    "after an upgrade",
    [
      labDesiredWithEtcd(),
      labDesiredWithEtcd({ ...labState(), etcd: labDesiredWithEtcdWire(), kubernetesVersion: "v1.22.0" }),
    ],
  ],
];

function labDesiredWithEtcdWire() {
  const { etcd } = labDesiredWithEtcd();
  return { ...etcd, mirrors: [...etcd.mirrors], sha256: {}, snapshots: undefined };
}

for (const [title, states] of clusters) {
  t.test(`a reset returns the machine to its state before the bootstrap: ${title}`, async (t) => {
    const os = await packagedMachine();
    release(os, "v1.22.0");
    const before = await listMachine(os, others);
    for (const desired of states) {
      await setUp(t, os, desired);
      run(os);
    }
    t.strictSame((await applyAll(resetSteps(all), os)).errors, []);
    // The real nginx package removes its own copy of the default page.
    os.files.drop("/usr/share/nginx/html/index.html");
    for (const path of ["/usr/share/nginx/html", "/usr/share/nginx", "/usr/share"]) await os.files.remove(path);
    t.strictSame(await listMachine(os, others), before);
    t.strictSame(await planAll(resetSteps(all), os), {}, "nothing is left to undo");
    for (const service of ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "nginx"])
      t.match(await os.systemd.unit(`${service}.service`), { activeState: "inactive" }, service);
  });
}

t.test("a machine without traces of khw is not changed", async (t) => {
  const os = await packagedMachine();
  for (const name of ["kubectl", "etcd"]) os.files.put(`/usr/local/bin/${name}`, "somebody else's", 0o755);
  t.strictSame(await planAll(resetSteps(all), os), {});
});

t.test("a reset stops the API server's clients first and etcd last", async (t) => {
  const os = await packagedMachine();
  await setUp(t, os, labDesiredWithEtcd());
  const count = os.systemd.changes.length;
  await applyAll(resetSteps(all), os);
  t.strictSame(
    os.systemd.changes.slice(count).filter((change) => /^stop (kube|etcd)/.test(change)),
    [
      "stop kube-scheduler.service",
      "stop kube-controller-manager.service",
      "stop kube-apiserver.service",
      "stop etcd.service",
    ],
  );
});

t.test("a reset keeps an etcd that khw does not manage, and keeps the logs unless --purge is set", async (t) => {
  const os = await packagedMachine();
  for (const [path, text] of [
    ["/etc/systemd/system/etcd.service", "[Service]\nExecStart=/usr/local/bin/etcd\n"],
    ["/etc/etcd/ca.pem", "ca"],
    ["/usr/local/bin/etcd", "etcd"],
  ] as const)
    os.files.put(path, text);
  await os.systemd.start("etcd.service", AbortSignal.timeout(1000));
  await setUp(t, os, labDesired());
  run(os);
  t.strictSame((await applyAll(resetSteps({ ownsEtcd: false, purge: false }), os)).errors, []);
  t.match(await os.systemd.unit("etcd.service"), { activeState: "active" });
  for (const path of ["/etc/etcd/ca.pem", "/usr/local/bin/etcd", "/var/lib/etcd/member", "/var/log/audit.log"])
    t.ok(await os.files.stat(path), path);
});

t.test("an nginx that was installed before khw keeps running without khw's site", async (t) => {
  const os = await packagedMachine();
  await os.packages.install("nginx", { signal: AbortSignal.timeout(1000), progress: () => {}, adding: async () => {} });
  await setUp(t, os, labDesired());
  const { changed, errors } = await applyAll(resetSteps(all), os);
  t.strictSame(errors, []);
  t.ok(changed.includes("nginx/site") && !changed.includes("package/nginx"));
  t.equal(await os.files.stat("/etc/nginx/sites-available/kubernetes.default.svc.cluster.local"), undefined);
  t.match(await os.systemd.unit("nginx.service"), { activeState: "active", unitFileState: "enabled" });
  t.ok(os.systemd.changes.at(-1)?.includes("nginx") || os.systemd.changes.includes("reload nginx.service"));
});

t.test("a reset keeps nginx, and reports the reason, if another site uses nginx", async (t) => {
  const os = await packagedMachine();
  await setUp(t, os, labDesired());
  os.files.put("/etc/nginx/sites-enabled/shop", "server {}");
  const { results, errors } = await applyAll(resetSteps(all), os);
  t.strictSame(errors, []);
  const reported = results.flatMap((result) => (result.outcome === "reported" ? [result.drift] : []));
  t.match(reported, [
    { summary: /nginx stays, because \/etc\/nginx\/sites-enabled\/shop/, remedy: /apt-get purge nginx/ },
  ]);
  t.ok(os.installed.has("nginx"));
  t.equal(await os.files.stat("/etc/nginx/sites-enabled/kubernetes.default.svc.cluster.local"), undefined);
});

t.test("a reset keeps a modified nginx page and a folder that existed before khw", async (t) => {
  const os = await packagedMachine();
  await os.files.mkdir("/var/www", 0o755);
  await setUp(t, os, labDesired());
  run(os);
  os.files.put("/var/www/html/index.nginx-debian.html", "my page");
  t.strictSame((await applyAll(resetSteps(all), os)).errors, []);
  t.equal(os.files.text("/var/www/html/index.nginx-debian.html"), "my page");
  await os.files.remove("/var/www/html/index.nginx-debian.html");
  t.strictSame((await applyAll(resetSteps(all), os)).errors, []);
  t.strictSame(await os.files.list("/var/www"), []);
  t.ok(await os.files.stat("/var/www"));
});

t.test(
  "a reset keeps foreign drop-ins, foreign files in etcd's folder, and a dedicated disk's mount point",
  async (t) => {
    const os = await packagedMachine();
    await setUp(t, os, labDesiredWithEtcd());
    run(os);
    os.files.put("/etc/systemd/system/etcd.service.d/99-own.conf", "[Service]\n");
    os.files.put("/var/lib/etcd/notes", "mine");
    t.strictSame((await applyAll(resetSteps(all), os)).errors, []);
    t.ok(await os.files.stat("/etc/systemd/system/etcd.service.d/99-own.conf"));
    t.strictSame(await os.files.list("/var/lib/etcd"), ["notes"]);
    await os.files.remove("/var/lib/etcd/notes");
    os.files.mounts.add("/var/lib/etcd");
    t.strictSame(await planAll(resetSteps(all), os), {});
    os.files.mounts.delete("/var/lib/etcd");
    t.strictSame(Object.keys(await planAll(resetSteps(all), os)), ["folder/var/lib/etcd"]);
  },
);

t.test("a reset keeps the credentials of an aggregation layer or a signing CA if khw did not write them", async (t) => {
  const os = await packagedMachine();
  const own = ["/var/lib/kubernetes/front-proxy-ca.pem", "/var/lib/kubernetes/signing-ca-key.pem"];
  for (const path of own) os.files.put(path, "own", 0o600);
  await setUp(t, os, labDesiredWithEtcd());
  t.strictSame((await applyAll(resetSteps(all), os)).errors, []);
  for (const path of own) t.equal(os.files.text(path), "own", path);
});
