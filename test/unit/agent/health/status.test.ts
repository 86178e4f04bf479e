import t, { type Test } from "tap";
import { healthCheckOf } from "../../../../agent/health/health.ts";
import { emulatedVersion, installedVersion } from "../../../../agent/health/status.ts";
import { renderKubeApiserver } from "../../../../agent/render/kube-apiserver.ts";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import { openHistory } from "../../../../agent/history/history.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { createSupervisor } from "../../../../agent/supervise/supervisor.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { type Component, Health } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { applyAll, labDesired, labMachine } from "../../../fixtures/machine.ts";

/** Reads the status of the machine's components. The supervisor has no desired state yet, so it repairs nothing. */
async function read(t: Test, os: FakeOs): Promise<Component[]> {
  const ending = new AbortController();
  const { signal } = ending;
  t.teardown(() => ending.abort(new Error("the test is over")));
  const { files, clock } = os;
  const log = (line: string): void => t.comment(line);
  const supervisor = createSupervisor({
    os,
    statusStore: createStatusStore(undefined),
    history: await openHistory({ files, clock, folder: "/var/lib/khw-agent", log }),
    machineLock: createMachineLock({ clock, signal }),
    keptState: { current: () => undefined, damage: () => undefined, save: async () => {} },
    lease: { take: async () => ({ [Symbol.asyncDispose]: async () => {} }) },
    intervalMillis: 3_600_000,
    log,
    signal,
  });
  return supervisor.read();
}

t.test("status reports every component of a new machine as not installed", async (t) => {
  const components = await read(t, createFakeOs());
  t.strictSame(
    components.map(({ name, activeState, version, health, reason }) => [name, activeState, version, health, reason]),
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"].map((name) => [
      name,
      "not-found",
      "",
      Health.HEALTH_UNHEALTHY,
      "it is not installed",
    ]),
  );
});

t.test("status reports each component's version, start time and health", async (t) => {
  const os = labMachine();
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  const since = os.clock.now();
  os.clock.advance(60_000);
  os.systemd.crash("kube-scheduler.service", "exit-code");
  os.answers.set("https://127.0.0.1:10257/healthz", { status: 500, body: "[-]leaderElection failed: x\n" });
  os.files.put("/usr/local/bin/kube-controller-manager", "a custom build", 0o755);
  const healthy = { activeState: "active", enabled: true, health: Health.HEALTH_HEALTHY, reason: "" };
  t.match(await read(t, os), [
    { ...healthy, name: "kube-apiserver", version: "v1.21.0", sinceUnixMillis: since, pid: Number },
    {
      name: "kube-controller-manager",
      activeState: "active",
      version: "",
      health: Health.HEALTH_UNHEALTHY,
      reason: "/healthz answers 500, failing: leaderElection",
    },
    {
      name: "kube-scheduler",
      activeState: "failed",
      version: "v1.21.0",
      sinceUnixMillis: 0,
      pid: 0,
      health: Health.HEALTH_UNHEALTHY,
      reason: "it is failed",
    },
    { ...healthy, name: "nginx", version: "1.22.1-9" },
  ]);
});

t.test("if etcd does not respond, the version of the installed release is reported", async (t) => {
  const os = labMachine();
  os.files.put("/usr/local/lib/khw/etcd/v3.5.16/etcd", "the program", 0o755);
  os.files.put("/usr/local/lib/khw/etcd/v3.4.15/etcd", "an older program", 0o755);
  await os.files.link("/usr/local/lib/khw/etcd/v3.5.16/etcd", "/usr/local/bin/etcd");
  const check = healthCheckOf("etcd");
  t.equal(await installedVersion(check, os), "3.5.16");
  await os.files.remove("/usr/local/bin/etcd");
  t.equal(await installedVersion(check, os), "");
});

t.test("the emulated release is read from the installed unit", async (t) => {
  const os = labMachine();
  const check = healthCheckOf("kube-apiserver");
  t.equal(await emulatedVersion(check, os), "", "no release is emulated if there is no unit file");
  for (const [value, expected] of [
    [undefined, ""],
    ["1.31", "1.31"],
    ["kube=1.31", "1.31"],
  ] as const) {
    const flags = { "kube-apiserver": { set: value === undefined ? {} : { "emulated-version": value }, remove: [] } };
    const unit = renderKubeApiserver(labDesired({ kubernetesVersion: "v1.32.1", flags }));
    os.files.put("/etc/systemd/system/kube-apiserver.service", unit);
    t.equal(await emulatedVersion(check, os), expected, value ?? "no flag");
  }
});
