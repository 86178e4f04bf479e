import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { type ClusterPki, clusterFiles, createMissing } from "../../../../../client/pki/cluster/create.ts";
import { checkCredentials } from "../../../../../client/pki/check/check.ts";
import { collect } from "../../../../../client/pki/check/problem.ts";
import { credentialNames } from "../../../../../proto/components.ts";
import { makeAuthority } from "../../../../testbed/certificates.ts";
import { readFile } from "node:fs/promises";

const run = promisify(execFile);
const openssl = async (...argv: string[]): Promise<string> => (await run("openssl", argv)).stdout;

const controllers = [0, 1, 2].map((number) => ({ name: `controller-${number}`, internalIp: `10.240.0.1${number}` }));
const cluster = { controllers, publicAddress: "203.0.113.10", serviceCidr: "10.32.0.0/24" };
const pki: ClusterPki = {
  clusterName: "kubernetes",
  cluster,
  algorithm: "rsa",
  days: 365,
  caDays: 1825,
  extraNames: ["api.example.com"],
  workers: [{ name: "worker-0", addresses: ["10.240.0.20", "203.0.113.20"] }],
  encryptionProvider: "aescbc",
  separateSigningCa: false,
  separateEtcdCa: false,
  aggregation: false,
};
const none: ReadonlyMap<string, string> = new Map();

const base = await mkdtemp(join(tmpdir(), "khw-pki-cluster-"));
t.teardown(() => rm(base, { recursive: true }));

async function written(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(base, `${name}-`));
  for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
  return folder;
}

for (const algorithm of ["rsa", "ecdsa"] as const) {
  t.test(`${algorithm}: all files are created, and openssl confirms that they have the lab's values`, async (t) => {
    const files = await createMissing(none, { ...pki, algorithm }, new Date());
    t.same(Object.keys(files).sort(), clusterFiles(pki).sort());
    const folder = await written(algorithm, files);
    const text = (name: string): Promise<string> =>
      openssl("x509", "-in", join(folder, `${name}.pem`), "-noout", "-text");

    const ca = await text("ca");
    t.match(ca, /Subject: CN = Kubernetes, O = Kubernetes\n/);
    t.match(ca, /Basic Constraints: critical\n\s+CA:TRUE, pathlen:0/);
    t.match(ca, /Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/);
    t.match(ca, algorithm === "rsa" ? /Public-Key: \(2048 bit\)/ : /NIST CURVE: P-256/);

    const subjects = {
      admin: "CN = admin, O = system:masters",
      "kube-controller-manager": "CN = system:kube-controller-manager, O = system:kube-controller-manager",
      "kube-proxy": "CN = system:kube-proxy, O = system:node-proxier",
      "kube-scheduler": "CN = system:kube-scheduler, O = system:kube-scheduler",
      kubernetes: "CN = kubernetes, O = Kubernetes",
      "service-account": "CN = service-accounts, O = Kubernetes",
      "worker-0": "CN = system:node:worker-0, O = system:nodes",
    };
    for (const [name, subject] of Object.entries(subjects)) {
      const shown = await text(name);
      t.ok(shown.includes(`Subject: ${subject}\n`), name);
      t.match(shown, /Extended Key Usage: \n\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
      t.match(shown, /Basic Constraints: critical\n\s+CA:FALSE/);
      const usage = algorithm === "rsa" ? "Digital Signature, Key Encipherment" : "Digital Signature";
      t.match(shown, new RegExp(`Key Usage: critical\\n\\s+${usage}\\n`));
      const argv = [
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-CAfile",
        join(folder, "ca.pem"),
        join(folder, `${name}.pem`),
      ];
      t.match(await openssl("verify", ...argv), /: OK\n$/, name);
      const fromKey = await openssl("pkey", "-in", join(folder, `${name}-key.pem`), "-pubout");
      t.equal(await openssl("x509", "-in", join(folder, `${name}.pem`), "-noout", "-pubkey"), fromKey, name);
    }
    const serving = await text("kubernetes");
    const names = /Subject Alternative Name: \n\s+(.*)\n/.exec(serving)?.[1]?.split(", ");
    t.same(names, [
      "IP Address:10.32.0.1",
      "IP Address:10.240.0.10",
      "IP Address:10.240.0.11",
      "IP Address:10.240.0.12",
      "IP Address:203.0.113.10",
      "IP Address:127.0.0.1",
      "DNS:kubernetes",
      "DNS:kubernetes.default",
      "DNS:kubernetes.default.svc",
      "DNS:kubernetes.default.svc.cluster",
      "DNS:kubernetes.svc.cluster.local",
      "DNS:kubernetes.default.svc.cluster.local",
      "DNS:api.example.com",
    ]);
    t.match(await text("worker-0"), /DNS:worker-0, IP Address:10\.240\.0\.20, IP Address:203\.0\.113\.20\n/);
    const serials = Object.keys(subjects).map((name) => new X509Certificate(files[`${name}.pem`] ?? "").serialNumber);
    t.equal(new Set(serials).size, serials.length, "the serial numbers are different");
    t.ok(
      serials.every((serial) => serial.length >= 16),
      "the serial numbers are long enough to be random",
    );
  });
}

t.test("created files pass the checks of bootstrap", async (t) => {
  const files = await createMissing(none, pki, new Date());
  const read = new Map(
    [...credentialNames, "admin.kubeconfig" as const].map((name) => [name, Buffer.from(files[name] ?? "")]),
  );
  t.same(
    collect(checkCredentials(read, { ...cluster, kubernetesVersion: "v1.21.0" }, { now: new Date() })).problems,
    [],
  );
  t.match(files["kube-scheduler.kubeconfig"], /server: https:\/\/127\.0\.0\.1:6443\n/);
  t.match(files["worker-0.kubeconfig"], /server: https:\/\/203\.0\.113\.10:6443\n/);
  t.match(files["kube-proxy.kubeconfig"], /server: https:\/\/203\.0\.113\.10:6443\n/);
});

t.test(
  "existing files are kept, and missing certificates are signed by the existing CA, even if khw did not create this CA",
  async (t) => {
    const foreign = join(base, "foreign");
    await makeAuthority(foreign);
    const ca = await readFile(join(foreign, "ca.pem"), "utf8");
    const present = new Map([
      ["ca.pem", ca],
      ["ca-key.pem", await readFile(join(foreign, "ca-key.pem"), "utf8")],
    ]);
    const files = await createMissing(present, pki, new Date());
    t.notOk(Object.hasOwn(files, "ca.pem"));
    t.notOk(Object.hasOwn(files, "ca-key.pem"));
    const folder = await written("completed", { ...files, "ca.pem": ca });
    t.match(
      await openssl("verify", "-x509_strict", "-CAfile", join(folder, "ca.pem"), join(folder, "kubernetes.pem")),
      /: OK/,
    );

    const all = new Map([...present, ...Object.entries(files)]);
    t.same(await createMissing(all, pki, new Date()), {}, "an existing file is not created again");
    all.delete("kubernetes.pem");
    all.delete("kubernetes-key.pem");
    t.same(Object.keys(await createMissing(all, pki, new Date())).sort(), ["kubernetes-key.pem", "kubernetes.pem"]);
  },
);

t.test(
  "an encryption key is named after its creation time, so that a new key is not mistaken for a lost key",
  async (t) => {
    const first = await createMissing(none, { ...pki, algorithm: "ecdsa" }, new Date("2026-01-31T12:00:00Z"));
    t.match(first["encryption-config.yaml"], /- aescbc:\n.*\n.*name: key-20260131T120000Z\n/);
    const safer = { ...pki, algorithm: "ecdsa", encryptionProvider: "secretbox" } as const;
    const other = await createMissing(none, safer, new Date("2026-01-31T12:00:00Z"));
    t.match(other["encryption-config.yaml"], /- secretbox:\n.*\n.*name: key-20260131T120000Z\n/);
    const left = new Map(Object.entries(first).filter(([name]) => name !== "encryption-config.yaml"));
    const second = await createMissing(left, { ...pki, algorithm: "ecdsa" }, new Date("2026-02-01T12:00:00Z"));
    t.strictSame(Object.keys(second), ["encryption-config.yaml"]);
    t.match(second["encryption-config.yaml"], /name: key-20260201T120000Z\n/);
  },
);
