import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { CertificateState, DriftPolicy, type GetStatusResponse, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { type Script, type ScriptedCluster, startScripted } from "../fixtures/scripted-agents.ts";
import { component, wellStatus } from "../fixtures/status.ts";
import { makeCredentials } from "../testbed/credentials.ts";

const names = ["controller-0", "controller-1", "controller-2"];
const publicAddress = "127.31.7.9";

interface Found {
  readonly severity: string;
  readonly where: string;
  readonly subject: string;
  readonly message: string;
  readonly remedy: string;
}

interface Report {
  readonly well: boolean;
  readonly findings: readonly Found[];
  readonly notRun: readonly {
    readonly where: string;
    readonly title: string;
    readonly reason: { readonly message: string };
  }[];
  readonly passed: readonly { readonly where: string; readonly title: string }[];
}

const credentials = await mkdtemp(join(tmpdir(), "khw-doctor-"));
t.teardown(() => rm(credentials, { recursive: true }));
await makeCredentials(credentials, {
  nodes: names.map((_, index) => ({ address: `10.240.0.1${index}` })),
  publicAddress,
});

async function start(
  t: Test,
  changes: Readonly<Record<string, Partial<GetStatusResponse>>> = {},
): Promise<ScriptedCluster> {
  const scripts = names.map((name): [string, Script] => [name, { status: wellStatus(name, changes[name]) }]);
  const cluster = await startScripted(Object.fromEntries(scripts));
  await chmod(join(cluster.folder, "admin-key.pem"), 0o600);
  t.teardown(() => cluster[Symbol.asyncDispose]());
  return cluster;
}

async function examine(
  cluster: ScriptedCluster,
  ...more: readonly string[]
): Promise<Report & { readonly code: number }> {
  const where = ["--credentials", credentials, "--public-address", publicAddress];
  const client = cluster.client(["doctor", "--output", "json", ...where, ...more]);
  const code = await client.code;
  const report: Report = JSON.parse(client.out());
  return { ...report, code };
}

/** Returns the findings about one node or the workstation, except findings caused by the missing API server. */
function about({ findings }: Report, where: string): Found[] {
  return findings.filter((found) => found.where === where && !found.message.includes("port 6443"));
}

t.test("doctor reports no findings for healthy agents and lists the checks that it could not run", async (t) => {
  const cluster = await start(t);
  const report = await examine(cluster);
  for (const name of names) t.strictSame(about(report, name), [], name);
  t.strictSame(
    report.findings.filter(({ where }) => where === "workstation"),
    [],
  );
  for (const title of [
    "the management identity can be used",
    "the cluster's credentials match the cluster",
    "the clock agrees with the agents' clocks",
  ]) {
    t.ok(
      report.passed.some((one) => one.title === title),
      title,
    );
  }
  t.ok(
    report.findings.some(({ message }) => /\/version answers/.test(message)),
    "doctor reports that no server answers at the public address",
  );
  t.ok(
    report.notRun.some(({ title }) => title === "kube-scheduler has a leader"),
    "the check for the scheduler's leader is reported as not run",
  );
  t.equal(report.code, 1);
  const agents = report.findings.find(({ subject }) => subject === "agents");
  t.match(agents, { severity: "error", message: /^1\.2\.3 on .* but this client has version / });
});

t.test("doctor finds and ranks problems on nodes, and gives a remedy for each problem", async (t) => {
  const cluster = await start(t, {
    "controller-0": {
      components: [
        component("kube-apiserver", {
          health: Health.HEALTH_UNHEALTHY,
          diagnosis: { cause: "port-in-use", message: "its port 6443 is taken", remedy: "end it", lines: ["l"] },
        }),
        component("kube-scheduler", { restarts: 4, supervisedRestarts: 3, version: "v1.20.0" }),
      ],
      machine: {
        ...wellStatus("x").machine,
        operatingSystem: "",
        kernel: "",
        cpus: 2,
        load: [9, 9.5, 1],
        memoryTotal: 1000,
        memoryAvailable: 50,
        diskTotal: 100 * 1024 ** 3,
        diskAvailable: 1024 ** 2,
        uptimeSeconds: 120,
      },
    },
    "controller-1": {
      maintenance: { drained: true, holder: "alice", sinceUnixMillis: 1 },
      drift: {
        policy: DriftPolicy.DRIFT_POLICY_REPORT,
        checkedUnixMillis: 1,
        paused: "the last operation failed",
        steps: [
          { id: "unit/etcd", title: "", drift: "differs", sinceUnixMillis: 1, repairs: 2, nextRepairUnixMillis: 0 },
        ],
      },
      certificates: [
        {
          path: "/var/lib/kubernetes/ca.pem",
          subject: "",
          expiresUnixMillis: 1,
          state: CertificateState.CERTIFICATE_STATE_ERROR,
          reason: "expired",
        },
      ],
    },
  });
  await cluster.agents[2]?.stop();
  const report = await examine(cluster);
  t.equal(report.code, 1);
  const told = (severity: string, where: string, subject: string, message: RegExp): void => {
    const found = report.findings.find(
      (one) => one.where === where && one.subject === subject && message.test(one.message),
    );
    t.equal(found?.severity, severity, `${where}: ${subject} has the expected severity`);
  };
  told("error", "controller-0", "kube-apiserver", /is taken/);
  told("warning", "controller-0", "kube-scheduler", /restarted 7 times/);
  told("warning", "controller-0", "kube-scheduler", /is v1\.20\.0, but must be v/);
  told("error", "controller-0", "disk", /0\.0 GiB of 100\.0 GiB/);
  told("warning", "controller-0", "memory", /available/);
  told("warning", "controller-0", "load", /9\.5 over 5 minutes, with 2 processors/);
  told("note", "controller-0", "machine", /booted 2 minutes ago/);
  told("warning", "controller-1", "maintenance", /drained by alice/);
  told("error", "controller-1", "unit/etcd", /differs/);
  told("warning", "controller-1", "drift", /is not checked: the last operation failed/);
  told("error", "controller-1", "/var/lib/kubernetes/ca.pem", /expired/);
  told("error", "controller-2", "khw-agent", /no connection/);
  t.equal(
    report.findings.filter(({ where }) => where === "controller-2").length,
    2,
    "controller-2 has two findings: the agent does not answer, and the port is closed",
  );
  t.ok(report.notRun.some(({ where, title }) => where === "controller-2" && title === "it is not drained"));
  const order = report.findings.map(({ severity }) => ["error", "warning", "note"].indexOf(severity));
  t.strictSame(
    order,
    order.toSorted((one, other) => one - other),
    "the worst findings come first",
  );
});

t.test("doctor warns about keys that other users can read", async (t) => {
  const cluster = await start(t);
  await chmod(join(credentials, "ca-key.pem"), 0o644);
  await chmod(join(cluster.folder, "admin-key.pem"), 0o640);
  const report = await examine(cluster);
  await chmod(join(credentials, "ca-key.pem"), 0o600);
  const open = report.findings.filter(({ message }) => message.startsWith("other users can read"));
  t.match(open, [
    { severity: "warning", subject: /admin-key\.pem$/, message: /mode 0640/, remedy: /^chmod 600 / },
    { severity: "warning", subject: /ca-key\.pem$/, message: /mode 0644/ },
  ]);
});

t.test("doctor reports mismatched credentials and a management identity from another CA", async (t) => {
  const cluster = await start(t);
  const broken = join(cluster.folder, "broken");
  await mkdir(broken);
  await makeCredentials(broken, { nodes: [{ address: "10.240.0.10" }], publicAddress });
  await writeFile(join(broken, "kubernetes-key.pem"), await readFile(join(credentials, "kubernetes-key.pem")));
  const mixed = await examine(cluster, "--credentials", broken);
  t.ok(
    mixed.findings.some(
      ({ subject, message }) => subject.endsWith("broken/kubernetes-key.pem") && message.includes("is not the key of"),
    ),
  );
  await writeFile(join(cluster.folder, "ca.pem"), await readFile(join(credentials, "ca.pem")));
  const strange = await examine(cluster);
  const here = strange.findings.find(({ where }) => where === "workstation");
  t.match(here, { severity: "error", message: /was not issued by the CA/ });
  t.equal(strange.code, 1);
});

t.test("if the configuration cannot be read, doctor reports only that and runs no other check", async (t) => {
  const cluster = await start(t);
  const file = join(cluster.folder, "khw.yaml");
  await writeFile(file, "nods: x\n");
  const report = await examine(cluster, "--config", file);
  t.match(report.findings, [{ severity: "error", where: "workstation", message: /nods/ }]);
  t.match(report.notRun, [{ title: "every other check" }]);
  t.equal(report.code, 1);
});

t.test("doctor waits for a hanging agent only until the deadline, and still reports on the other nodes", async (t) => {
  const cluster = await start(t);
  await cluster.agents[1]?.stop();
  const deaf: Server = createServer((socket) => t.teardown(() => socket.destroy())).listen(
    cluster.agents[1]?.port,
    "127.0.0.1",
  );
  await once(deaf, "listening");
  t.teardown(() => void deaf.close());
  const began = performance.now();
  const client = cluster.client([
    "doctor",
    "--verbose",
    "--credentials",
    credentials,
    "--public-address",
    publicAddress,
  ]);
  t.equal(await client.code, 1);
  t.ok(performance.now() - began < 25_000);
  t.match(client.out(), /^error +controller-1: khw-agent: /m);
  t.match(client.out(), /^ +remedy: /m);
  t.match(client.out(), "passed   controller-2: its agent answers\n");
  t.match(client.out(), /^not run {2}controller-1: its components do not crash: its agent does not answer$/m);
  t.match(client.out(), /\d+ checks: \d+ passed; \d+ errors?, \d+ warnings?, \d+ notes?; \d+ checks could not run\n$/);
});
