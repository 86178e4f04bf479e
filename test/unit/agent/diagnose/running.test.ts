import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { degradedCauses } from "../../../../agent/diagnose/degraded.ts";
import { diagnoseRunning } from "../../../../agent/diagnose/running.ts";
import { causeTable } from "../../../../agent/diagnose/table.ts";
import { explainHealth, healthCheckOf } from "../../../../agent/health/health.ts";
import type { ProbeResult } from "../../../../agent/os/probes.ts";
import { explainTls } from "../../../../agent/health/tls-failure.ts";
import { renderKubeApiserver } from "../../../../agent/render/kube-apiserver.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { labDesired } from "../../../fixtures/machine.ts";

const pid = 7;
const refused: ProbeResult = { status: 0, body: "connect ECONNREFUSED 10.240.0.10:2379" };
const servers = ["https://10.240.0.10:2379", "https://10.240.0.11:2379", "https://10.240.0.12:2379"];

interface Situation {
  readonly lines?: readonly string[];
  readonly reason?: string | null;
  readonly agoMillis?: number;
  readonly writer?: number;
  /** The etcd servers' answers to probes. */
  readonly etcd?: readonly ProbeResult[];
  /** Additional files on the machine, keyed by path. */
  readonly files?: Readonly<Record<string, string>>;
}

async function causeOf(component: string, situation: Situation) {
  const { lines = [], reason = null, agoMillis = 1000, writer = pid, etcd = [], files = {} } = situation;
  const os = createFakeOs();
  const check = healthCheckOf(component);
  os.files.put("/etc/systemd/system/kube-apiserver.service", renderKubeApiserver(labDesired()));
  for (const [path, content] of Object.entries(files)) os.files.put(path, content);
  const timeUnixMillis = os.clock.now() - agoMillis;
  os.journal.set(
    check.unit,
    lines.map((text) => ({ timeUnixMillis, text, priority: 6, pid: writer })),
  );
  for (const [index, answer] of etcd.entries()) os.answers.set(`${servers[index]}/health`, answer);
  return diagnoseRunning(check, { pid, reason }, os);
}

const withoutEtcd = "/readyz answers 500, failing: etcd";

t.test("the diagnosis of an API server without etcd is based on the responses of the etcd servers", async (t) => {
  const dialing = `W1125 1 clientconn.go:1223] grpc: Err :connection error: desc = "transport: Error while dialing dial tcp 10.240.0.10:2379: connect: connection refused". Reconnecting...`;
  const away = await causeOf("kube-apiserver", {
    reason: withoutEtcd,
    lines: [dialing],
    etcd: [refused, refused, refused],
  });
  t.match(away, { cause: "etcd-unreachable", lines: [dialing, withoutEtcd], remedy: /systemctl start etcd/ });
  t.match(away?.message, servers.join(", "));

  const alone: ProbeResult = { status: 503, body: '{"health":"false"}' };
  const minority = await causeOf("kube-apiserver", {
    reason: withoutEtcd,
    lines: [dialing],
    etcd: [alone, refused, refused],
  });
  t.match(minority, { cause: "etcd-no-quorum", lines: [withoutEtcd] });

  const well: ProbeResult = { status: 200, body: '{"health":"true"}' };
  t.equal(
    await causeOf("kube-apiserver", { reason: withoutEtcd, etcd: [well, well, well] }),
    undefined,
    "etcd is not blamed while etcd is healthy",
  );

  const foreign = `W1125 1 clientconn.go:1223] Err :connection error: desc = "transport: authentication handshake failed: x509: certificate signed by unknown authority"`;
  const refusing = await causeOf("kube-apiserver", { reason: withoutEtcd, lines: [foreign], etcd: [well, well, well] });
  t.match(refusing, { cause: "etcd-authority-unknown", lines: [foreign, withoutEtcd] });

  const other = "/readyz answers 500, failing: poststarthook/rbac/bootstrap-roles";
  t.equal(await causeOf("kube-apiserver", { reason: other, etcd: [refused, refused, refused] }), undefined);
});

t.test("the diagnosis of an API server without its KMS plugin names the plugin's socket", async (t) => {
  const reason = "/readyz answers 500, failing: kms-provider-0";
  const encryption = (...sockets: readonly string[]): string =>
    sockets.map((socket) => `- kms: {apiVersion: v2, name: x, endpoint: "unix://${socket}"}\n`).join("");
  const cause = (text: string, files: readonly string[] = [], failing = reason) =>
    causeOf("kube-apiserver", {
      reason: failing,
      files: {
        "/var/lib/kubernetes/encryption-config.yaml": text,
        ...Object.fromEntries(files.map((path) => [path, ""])),
      },
    });
  const missing = { cause: "kms-socket-missing", message: "the socket /run/b of its KMS plugin does not exist" };
  t.match(await cause(encryption("/run/b")), missing);
  t.match(
    await cause(encryption("/run/a", "/run/b"), ["/run/a"]),
    missing,
    "the diagnosis names the plugin whose socket is missing",
  );
  const block = "    - kms:\n        name: x\n        endpoint: unix:///run/b\n";
  t.match(
    await cause(block, [], "/readyz answers 500, failing: kms-providers"),
    missing,
    "the missing socket is also found if automatic reload is on",
  );
  t.match(await cause(encryption("/run/a"), ["/run/a"]), { cause: "kms-plugin-failing", message: /\/run\/a/ });
  t.equal(await cause("kind: EncryptionConfiguration\n"), undefined, "no cause is found if no plugin is configured");
});

const lock = "E1125 22:57:44.020021    1755 leaderelection.go:325] error retrieving resource lock kube-system";

t.test("a broken client of the API server is diagnosed even if the client reports itself as healthy", async (t) => {
  const cases = [
    [
      "kube-controller-manager",
      "api-server-unreachable",
      `${lock}/kube-controller-manager: Get "https://127.0.0.1:6443/apis": dial tcp 127.0.0.1:6443: connect: connection refused`,
    ],
    [
      "kube-scheduler",
      "api-server-unreachable",
      `${lock}/kube-scheduler: Get "https://127.0.0.1:6443/apis": context deadline exceeded`,
    ],
    ["kube-controller-manager", "client-unauthorized", `${lock}/kube-controller-manager: Unauthorized`],
    [
      "kube-scheduler",
      "client-forbidden",
      `${lock}/kube-scheduler: leases.coordination.k8s.io "kube-scheduler" is forbidden: User "mallory" cannot get resource "leases" in API group "coordination.k8s.io" in the namespace "kube-system"`,
    ],
    [
      "kube-scheduler",
      "api-server-authority-unknown",
      `${lock}/kube-scheduler: Get "https://127.0.0.1:6443/apis": x509: certificate signed by unknown authority`,
    ],
    [
      "kube-controller-manager",
      "api-server-certificate-expired",
      `${lock}/kube-controller-manager: Get "https://127.0.0.1:6443/apis": x509: certificate has expired or is not yet valid: current time 2026-11-28T07:00:00Z is after 2026-11-28T06:00:00Z`,
    ],
  ] as const;
  for (const [component, cause, line] of cases) {
    const diagnosis = await causeOf(component, { lines: ["I1125 begun", line, "I1125 goes on"] });
    t.match(diagnosis, { cause, lines: [line] }, line);
    t.notMatch(`${diagnosis?.message}${diagnosis?.remedy}`, /[{}]|undefined/);
    t.equal(
      await causeOf(component, { lines: [line], agoMillis: 20_000 }),
      undefined,
      "a log line that is too old is not used for a diagnosis",
    );
    t.equal(
      await causeOf(component, { lines: [line], writer: 6 }),
      undefined,
      "a log line of another process is not used for a diagnosis",
    );
  }
  const [, , , [, , forbidden]] = cases;
  t.match(
    (await causeOf("kube-scheduler", { lines: [forbidden] }))?.message,
    "as the user mallory, who is not allowed to get leases",
  );
});

t.test("a server whose certificate fails verification is reported with a remedy", async (t) => {
  const [start, end] = [Date.UTC(2026, 10, 1), Date.UTC(2026, 10, 25)];
  const certificate = { subject: "CN=kubernetes", fingerprint: "other", validFrom: start, validTo: end };
  const explained = async (component: string, body: string, now: number, serverTime?: number) => {
    const os = createFakeOs();
    os.clock.advance(now - os.clock.now());
    const served = serverTime === undefined ? certificate : { ...certificate, serverTime };
    const result: ProbeResult = { status: 0, failure: "unverified", body, certificate: served };
    const reason = explainHealth(healthCheckOf(component), {
      ...result,
      body: await explainTls(result, { ...os, clientCertificate: "kubernetes.pem" }),
    });
    return causeOf(component, { reason });
  };
  const [expired, early] = ["certificate has expired", "certificate is not yet valid"];
  for (const component of ["kube-apiserver", "etcd"]) {
    t.match(await explained(component, expired, end + 5000), {
      cause: "serving-certificate-expired",
      message: /2026-11-25T00:00:00Z: a certificate that no file/,
      remedy:
        /^run `khw-client pki renew kubernetes` \(`pki renew etcd-server` if etcd has its own CA\); if the machine's clock is wrong/,
    });
    t.match(await explained(component, expired, end + 5000, end + 5000), { cause: "serving-certificate-expired" });
    t.match(await explained(component, early, start - 5000), {
      cause: "serving-certificate-early",
      message: /valid only from 2026-11-01T00:00:00Z, but the machine's clock says 2026-10-31T23:59:55Z/,
    });
    const wrongClock = await explained(component, expired, end + 1e9, end - 1e9);
    t.match(wrongClock, { cause: "agent-clock-wrong", remedy: /^correct the machine's clock/ });
    t.notMatch(wrongClock?.remedy, /renew/, "the remedy does not suggest renewing the certificate");
    t.equal(
      await explained(component, expired, end - 5000),
      undefined,
      "the server's certificate is not blamed if only the CA has expired",
    );
  }
});

t.test("every cause of a degraded component is documented with its exact wording", async (t) => {
  const text = await readFile(join(import.meta.dirname, "../../../../docs/crash-loops.md"), "utf8");
  t.ok(
    text.includes(causeTable(degradedCauses)),
    `docs/crash-loops.md must have this table: ${causeTable(degradedCauses)}`,
  );
});
