import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import { healthChecks } from "../../../../agent/health/health.ts";
import type { HistoryEntry, History } from "../../../../agent/history/history.ts";
import type { RestartLease } from "../../../../agent/supervise/restart-lease.ts";
import { createSupervisor } from "../../../../agent/supervise/supervisor.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { KmsPlugin } from "../../../../proto/kms.ts";
import { type Component, DriftPolicy, Health, type StatusChange } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { labDesired } from "../../../fixtures/machine.ts";

const silent = { status: 0, body: "no answer within 3 s", failure: "silent" } as const;
const livez = "https://127.0.0.1:6443/livez?verbose&exclude=etcd";

/**
 * Creates a fake machine on which everything is running and healthy, and its supervisor. Each test decides how many of
 * the supervisor's beats run.
 */
async function supervised(
  t: Test,
  { intervalMillis = 20, lease, kms }: { intervalMillis?: number; lease?: RestartLease; kms?: KmsPlugin } = {},
) {
  const os = createFakeOs();
  const ending = new AbortController();
  const { signal } = ending;
  t.teardown(() => ending.abort(new Error("the test is over")));
  os.files.put("/var/lib/kubernetes/ca.pem", "ca");
  for (const { component, unit, url } of healthChecks) {
    if (component === "etcd") continue;
    os.files.put(`/etc/systemd/system/${unit}`, `[Service]\nExecStart=/usr/local/bin/${component}\n`);
    await os.systemd.enable(unit);
    await os.systemd.start(unit, signal);
    os.answers.set(url, { status: 200, body: "ok" });
  }
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const statusStore = createStatusStore(undefined);
  const told: HistoryEntry[] = [];
  const history: History = {
    append: (entry) => void told.push(entry),
    newest: () => told.length,
    list: async () => [],
    listen: () => () => {},
    settled: async () => {},
  };
  const machineLock = createMachineLock({ clock: os.clock, signal });
  const keptState = {
    current: () => ({ operationId: "1", desired: labDesired(kms === undefined ? {} : { kms }) }),
    damage: () => undefined,
    save: async () => {},
  };
  const free: RestartLease = { take: async () => ({ [Symbol.asyncDispose]: async () => {} }) };
  const supervisor = createSupervisor({
    os,
    statusStore,
    history,
    machineLock,
    keptState,
    lease: lease ?? free,
    intervalMillis,
    log,
    signal,
  });
  const component = (name: string): Component | undefined =>
    statusStore.read().components.find((component) => component.name === name);
  await eventually(
    "all components are healthy",
    () => statusStore.read().components.filter(({ reason }) => reason === "").length === 4,
  );
  const restarts = () => os.systemd.changes.filter((change) => /^(kill|restart|reset)/.test(change));
  return { os, statusStore, machineLock, supervisor, component, told, restarts, lines, signal };
}

async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`timed out after 10 s waiting until ${what}`);
    await setTimeout(5);
  }
}

t.test("a crash is shown in the status at once with its cause, and both crash and recovery are reported", async (t) => {
  const { os, component, told } = await supervised(t);
  os.systemd.journals.set("kube-scheduler.service", ["F1 it broke"]);
  os.systemd.crash("kube-scheduler.service", "exit-code", "auto-restart");
  await eventually("the crash is reported", () => component("kube-scheduler")?.subState === "auto-restart");
  t.match(component("kube-scheduler"), { health: Health.HEALTH_UNHEALTHY, reason: "it is activating", pid: 0 });
  await eventually("the cause is reported", () => component("kube-scheduler")?.diagnosis !== undefined);
  os.clock.advance(6200);
  await os.systemd.autoRestart("kube-scheduler.service");
  await eventually("the component is healthy", () => component("kube-scheduler")?.reason === "");
  await eventually("both events are reported", () => told.length === 2);
  t.match(told, [
    { subject: "kube-scheduler", message: "failed (exit-code)", problem: true },
    { subject: "kube-scheduler", message: "is healthy again after 6.2 s" },
  ]);
  t.match(component("kube-scheduler"), { restarts: 1, supervisedRestarts: 0, diagnosis: undefined });
});

t.test(
  "a component that misses three health checks in a row is killed and restarted, without counting as a crash",
  async (t) => {
    const { os, component, told, restarts } = await supervised(t);
    os.answers.set("http://127.0.0.1:80/healthz", silent);
    os.answers.set("http://127.0.0.1:80/", silent);
    await eventually("the component is restarted", () => component("nginx")?.supervisedRestarts === 1);
    os.answers.set("http://127.0.0.1:80/healthz", { status: 200, body: "ok" });
    await eventually("the component is healthy", () => component("nginx")?.reason === "");
    t.strictSame(restarts(), ["kill nginx.service", "reset-failed nginx.service", "restart nginx.service"]);
    await eventually("the recovery is reported", () => told.length === 2);
    t.match(told, [
      { message: "restarted by the agent", cause: "/healthz does not answer: no answer within 3 s", problem: true },
      { message: /^is healthy again after/ },
    ]);
  },
);

t.test("an API server that is not ready because of etcd is not restarted", async (t) => {
  const { os, component, restarts } = await supervised(t);
  os.answers.set("https://127.0.0.1:6443/readyz?verbose", { status: 500, body: "[-]etcd failed: reason withheld\n" });
  os.answers.set(livez, { status: 200, body: "ok" });
  await eventually(
    "the failure is reported",
    () => component("kube-apiserver")?.reason === "/readyz answers 500, failing: etcd",
  );
  await setTimeout(300);
  t.strictSame(restarts(), []);
});

t.test(
  "a component that is running but degraded is reported with the cause as long as the degradation lasts",
  async (t) => {
    const { os, component, told, restarts } = await supervised(t);
    os.answers.set("https://127.0.0.1:6443/readyz?verbose", { status: 500, body: "[-]etcd failed: reason withheld\n" });
    os.answers.set(livez, { status: 200, body: "ok" });
    await eventually(
      "the failure is reported",
      () => component("kube-apiserver")?.reason === "/readyz answers 500, failing: etcd",
    );
    os.clock.advance(20_000);
    await eventually(
      "the cause is reported",
      () => component("kube-apiserver")?.diagnosis?.cause === "etcd-unreachable",
    );
    os.answers.set("https://127.0.0.1:6443/readyz?verbose", { status: 200, body: "ok" });
    await eventually("the component is healthy", () => component("kube-apiserver")?.reason === "");
    await eventually("the diagnosis is removed", () => component("kube-apiserver")?.diagnosis === undefined);
    await eventually("both events are reported", () => told.length === 2);
    t.match(told, [
      { subject: "kube-apiserver", message: "is running, but degraded", cause: /^etcd-unreachable: /, problem: true },
      { subject: "kube-apiserver", message: /^is healthy again after/ },
    ]);
    t.strictSame(restarts(), []);
  },
);

t.test("a component that reports itself healthy but is rejected by the API server is unhealthy", async (t) => {
  const { os, component, restarts } = await supervised(t);
  const pid = component("kube-scheduler")?.pid ?? 0;
  const complain = (): void => {
    const timeUnixMillis = os.clock.now();
    const text = "E1125 leaderelection.go:325] error retrieving resource lock kube-system/kube-scheduler: Unauthorized";
    os.journal.set("kube-scheduler.service", [{ timeUnixMillis, text, priority: 3, pid }]);
  };
  const goesOn = (): boolean => {
    os.clock.advance(1_000);
    complain();
    return component("kube-scheduler")?.diagnosis?.cause === "client-unauthorized";
  };
  await eventually("the rejection is reported", goesOn);
  t.match(component("kube-scheduler"), {
    health: Health.HEALTH_UNHEALTHY,
    reason: "the API server does not accept its credentials",
  });
  await setTimeout(200);
  t.strictSame(restarts(), [], "the component is not restarted because a restart would not help");
  os.journal.delete("kube-scheduler.service");
  os.clock.advance(20_000);
  await eventually("the component is healthy", () => component("kube-scheduler")?.health === Health.HEALTH_HEALTHY);
});

t.test("an API server is not restarted while another controller holds the restart lease", async (t) => {
  let asked = 0;
  const take = async (): Promise<AsyncDisposable> => {
    asked += 1;
    throw new KhwError("BUSY", "controller-1 restarts its API server");
  };
  const { os, restarts, lines } = await supervised(t, { lease: { take } });
  os.answers.set("https://127.0.0.1:6443/readyz?verbose", silent);
  os.answers.set(livez, silent);
  await eventually("the supervisor asks for the lease", () => asked === 1);
  await setTimeout(200);
  t.strictSame(restarts(), []);
  t.equal(asked, 1, "the supervisor does not ask again at each check");
  t.match(lines, ["kube-apiserver: controller-1 restarts its API server"]);
});

t.test("an API server is not restarted while its KMS plugin does not work, even on request", async (t) => {
  const kms = { unit: "vault-kms.service", socket: "/run/kms/socket" };
  const { os, restarts, lines, supervisor, signal } = await supervised(t, { kms });
  os.answers.set("https://127.0.0.1:6443/readyz?verbose", silent);
  os.answers.set(livez, silent);
  await eventually("the refusal is logged", () => lines.length > 0);
  t.match(lines, [/^kube-apiserver: .*would lose its data keys: the unit vault-kms\.service.*does not exist/]);
  const requested = supervisor.restart("kube-apiserver", { reason: "alice: new flags", signal });
  await t.rejects(requested, { code: "NOT_READY", hint: /install the KMS plugin/ });
  t.strictSame(restarts(), []);
  await supervisor.restart("kube-scheduler", { reason: "alice: new flags", signal });
  t.ok(restarts().includes("restart kube-scheduler.service"), "other components are restarted");
});

t.test("nothing is restarted while an operation is running", async (t) => {
  const { os, machineLock, component, restarts } = await supervised(t);
  const { promise: end, resolve } = Promise.withResolvers<void>();
  const held = machineLock.lock("alice", () => end);
  os.answers.set("http://127.0.0.1:80/healthz", silent);
  os.systemd.crash("kube-scheduler.service", "exit-code");
  await eventually("the crash is reported", () => component("kube-scheduler")?.activeState === "failed");
  await setTimeout(1300);
  t.strictSame(restarts(), []);
  resolve();
  await held;
});

t.test("the supervisor starts a component that systemd no longer restarts", async (t) => {
  const { os, component, restarts } = await supervised(t);
  os.systemd.crash("kube-scheduler.service", "start-limit-hit");
  await eventually("the next start is planned", () => (component("kube-scheduler")?.nextRestartUnixMillis ?? 0) > 0);
  await eventually("the component runs", () => component("kube-scheduler")?.reason === "");
  t.strictSame(restarts(), ["reset-failed kube-scheduler.service", "restart kube-scheduler.service"]);
  t.match(component("kube-scheduler"), { supervisedRestarts: 1, nextRestartUnixMillis: 0 });
});

t.test(
  "a stopped component is started again, unless the node is drained or the drift policy is to report only",
  async (t) => {
    for (const [change, starts] of [
      [{}, 1],
      [{ maintenance: { drained: true, holder: "alice", sinceUnixMillis: 1 } }, 0],
      [{ drift: { policy: DriftPolicy.DRIFT_POLICY_REPORT, checkedUnixMillis: 0, steps: [], paused: "" } }, 0],
    ] satisfies [Partial<StatusChange>, number][]) {
      const { os, statusStore, restarts, signal } = await supervised(t);
      statusStore.publish(change);
      await os.systemd.stop("kube-scheduler.service", signal);
      await setTimeout(1500);
      t.equal(restarts().filter((done) => done.startsWith("restart")).length, starts);
    }
  },
);

t.test(
  "a requested restart waits until the component is healthy, and is reported with the caller's name",
  async (t) => {
    const { supervisor, told, restarts, signal } = await supervised(t);
    const millis = await supervisor.restart("kube-controller-manager", { reason: "alice: new flags", signal });
    t.ok(millis >= 0);
    t.ok(restarts().includes("restart kube-controller-manager.service"));
    await eventually("the restart is reported", () => told.length === 1);
    t.match(told, [{ message: "restarted", cause: "alice: new flags" }]);
    await t.rejects(supervisor.restart("etcd", { reason: "", signal }), { code: "COMPONENT_MISSING" });
  },
);

t.test("the supervisor reports the health and response time of each component on the machine", async (t) => {
  const { supervisor } = await supervised(t);
  const components = await supervisor.read();
  t.strictSame(
    components.map(({ name }) => name),
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"],
    "the list contains every component of a machine without etcd",
  );
  t.ok(components.every(({ health }) => health === Health.HEALTH_HEALTHY));
  t.strictSame(
    [...supervisor.latencies().keys()],
    components.map(({ name }) => name),
  );
});
