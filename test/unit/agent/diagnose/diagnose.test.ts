import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { diagnose } from "../../../../agent/diagnose/diagnose.ts";
import { look } from "../../../../agent/diagnose/look.ts";
import { healthCheckOf } from "../../../../agent/health/health.ts";
import { ready } from "../../../../agent/steps/ready.ts";
import { renderKubeApiserver } from "../../../../agent/render/kube-apiserver.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { labDesired } from "../../../fixtures/machine.ts";

const unit = "kube-apiserver.service";

function machine(...journal: readonly string[]): FakeOs {
  const os = createFakeOs();
  os.files.put(`/etc/systemd/system/${unit}`, renderKubeApiserver(labDesired()));
  os.systemd.journals.set(unit, [...journal]);
  return os;
}

t.test("a port conflict is reported with the process that holds the port", async (t) => {
  const os = machine("Error: failed to create listener: listen tcp 0.0.0.0:6443: bind: address already in use");
  os.listeners.set(6443, { pid: 77, name: "haproxy" });
  t.match(await diagnose("kube-apiserver", unit, os), {
    cause: "port-in-use",
    message: "port 6443 is in use by haproxy (pid 77)",
    remedy: /ss -ltnp sport = :6443/,
  });
});

t.test("a missing file is reported with the flag that names it", async (t) => {
  const os = machine("Error: open /var/lib/kubernetes/kubernetes.pem: no such file or directory");
  t.match(await diagnose("kube-apiserver", unit, os), {
    cause: "file-missing",
    message: /^\/var\/lib\/kubernetes\/kubernetes\.pem, which --\S+ refers to, does not exist$/,
  });
});

t.test("flags are read from units that khw writes and from lab 07's etcd unit", async (t) => {
  const os = machine();
  const { flags } = await look("kube-apiserver", unit, os);
  t.equal(flags.get("service-cluster-ip-range"), "10.32.0.0/24");
  t.equal(flags.get("encryption-provider-config"), "/var/lib/kubernetes/encryption-config.yaml");
  const text =
    "[Service]\nExecStart=/usr/local/bin/etcd \\\n  --name controller-0 \\\n  --data-dir=/var/lib/etcd \\\n  --x='a b'\n";
  os.files.put("/etc/systemd/system/etcd.service", text);
  const etcd = await look("etcd", "etcd.service", os);
  t.strictSame(Object.fromEntries(etcd.flags), { name: "controller-0", "data-dir": "/var/lib/etcd", x: "a b" });
});

t.test("etcd and its client certificate are checked only if the API server's journal blames etcd", async (t) => {
  const folder = t.testdir();
  const key = join(folder, "key.pem");
  const certificate = join(folder, "certificate.pem");
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1"];
  execFileSync("openssl", [...request, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  const os = machine("Error: context deadline exceeded");
  os.files.put("/var/lib/kubernetes/kubernetes.pem", readFileSync(certificate, "utf8"));
  os.files.put("/var/lib/kubernetes/kubernetes-key.pem", readFileSync(key, "utf8"));
  os.files.put("/var/lib/kubernetes/ca.pem", readFileSync(certificate, "utf8"));
  const valid = await look("kube-apiserver", unit, os);
  t.equal(valid.etcd?.length, 3);
  t.match(valid.etcdCertificate, { path: "/var/lib/kubernetes/kubernetes.pem", ended: undefined, foreign: false });

  os.clock.advance(100 * 365 * 86_400_000);
  t.match(await diagnose("kube-apiserver", unit, os), {
    cause: "client-certificate-expired",
    message: /kubernetes\.pem: it expired on 20\d\d-/,
  });
  t.equal((await look("kube-scheduler", unit, os)).etcd, undefined);
});

t.test("a full disk is reported even if the program logs nothing", async (t) => {
  const os = machine("kube-apiserver.service: Failed with result 'exit-code'.");
  const full = { ...os, files: { ...os.files, available: async (path: string) => (path === "/var/log" ? 0 : 1e9) } };
  t.match(await diagnose("kube-apiserver", unit, full), {
    cause: "disk-full",
    message: "the disk of /var/log is full",
  });
});

t.test(
  "an exit that is missing from the journal is taken from systemd's properties, and no exit appears twice",
  async (t) => {
    const killed = `${unit}: Main process exited, code=killed, status=9/KILL`;
    for (const journal of [["Started kube-apiserver.service."], ["Started kube-apiserver.service.", killed], []]) {
      const os = machine(...journal);
      os.systemd.endings.set(unit, [killed, `${unit}: Failed with result 'signal'.`]);
      t.match(await diagnose("kube-apiserver", unit, os), { cause: "killed", lines: [killed] });
      t.equal((await look("kube-apiserver", unit, os)).starts.flat().filter((line) => line === killed).length, 1);
    }
  },
);

t.test("if the journal is unreadable, the diagnosis reports this problem instead of failing", async (t) => {
  const os = machine();
  const starts = async (): Promise<string[][]> => {
    throw new KhwError("IO_FAILED", "journalctl: not found");
  };
  const broken = { ...os, systemd: { ...os.systemd, starts } };
  t.match(await diagnose("kube-apiserver", unit, broken), { cause: "unknown", message: /journalctl: not found/ });
});

t.test("a step that times out waiting for a component reports the cause, log line and remedy", async (t) => {
  const os = machine("Started kube-apiserver.service.", "Error: unknown flag: --old");
  const signal = AbortSignal.timeout(10_000);
  await t.rejects(ready(healthCheckOf("kube-apiserver"), []).apply(os, { signal, progress: () => {} }), {
    code: "NOT_READY",
    message:
      /kube-apiserver does not stay up .*; it does not support the flag --old \(unknown-flag\):\n {2}Error: unknown flag: --old$/,
    hint: /^remove --old from the flags of kube-apiserver in khw\.yaml/,
  });
});
