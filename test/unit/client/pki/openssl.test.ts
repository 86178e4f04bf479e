/** Tests that `openssl verify` and `khw-client pki check` agree about each certificate. */
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { checkCredentials, type CredentialFiles } from "../../../../client/pki/check/check.ts";
import { collect } from "../../../../client/pki/check/problem.ts";
import { run } from "../../../testbed/command.ts";
import { issue, makeAuthority } from "../../../testbed/certificates.ts";
import { subjectAlternativeNames } from "../../../testbed/credentials.ts";

const base = await mkdtemp(join(tmpdir(), "khw-openssl-"));
t.teardown(() => rm(base, { recursive: true }));
const [lab, strange] = [join(base, "lab"), join(base, "strange")];
await Promise.all([makeAuthority(lab), makeAuthority(strange)]);

const controllers = [{ name: "controller-0", internalIp: "10.240.0.10" }];
const cluster = {
  controllers,
  publicAddress: "203.0.113.10",
  serviceCidr: "10.32.0.0/24",
  kubernetesVersion: "v1.21.0",
};
const names = subjectAlternativeNames({ nodes: [{ address: "10.240.0.10" }], publicAddress: cluster.publicAddress });

interface Case {
  readonly title: string;
  /** The options that cause a fault in kubernetes.pem. */
  readonly options?: Parameters<typeof issue>[2];
  /** The key usage of a faulty CA. */
  readonly authorityUsage?: string;
  /** The field that pki check reports, or undefined if pki check finds nothing. */
  readonly field?: string;
  /** The error that openssl verify prints, or undefined if openssl accepts the certificate. */
  readonly says?: RegExp;
}

const cases: readonly Case[] = [
  { title: "a valid certificate" },
  { title: "an expired certificate", options: { days: -1 }, field: "notAfter", says: /certificate has expired/ },
  {
    title: "a certificate of another CA with the same name",
    options: { authority: strange },
    field: "issuer",
    says: /unable to get local issuer certificate|certificate signature failure/,
  },
  {
    title: "a certificate that is valid only for servers",
    options: { extensions: { extendedKeyUsage: "serverAuth" } },
    field: "extendedKeyUsage",
    says: /unsuitable certificate purpose/,
  },
  {
    title: "a certificate that is valid only for clients",
    options: { extensions: { extendedKeyUsage: "clientAuth" } },
    field: "extendedKeyUsage",
    says: /unsuitable certificate purpose/,
  },
  {
    title: "a certificate whose key usage does not allow signatures",
    options: { extensions: { keyUsage: "critical,keyEncipherment" } },
    field: "keyUsage",
    says: /unsuitable certificate purpose/,
  },
  {
    title: "a certificate with a short key",
    options: { bits: 1024 },
    field: "publicKey",
    says: /EE certificate key too weak/,
  },
  {
    title: "a certificate signed with SHA-1",
    options: { digest: "sha1" },
    field: "signatureAlgorithm",
    says: /too weak/,
  },
  {
    title: "a certificate without the public address",
    options: { names: names.filter((name) => name !== "IP:203.0.113.10") },
    field: "subjectAltName",
    says: /IP address mismatch/,
  },
  {
    title: "a certificate of a CA that is not allowed to sign certificates",
    authorityUsage: "cRLSign",
    field: "keyUsage",
    says: /invalid CA certificate|does not include certificate signing/,
  },
];

for (const { title, options, authorityUsage, field, says } of cases) {
  t.test(`${title}: pki check and openssl reach the same verdict`, async (t) => {
    const folder = await mkdtemp(join(base, "case-"));
    if (authorityUsage === undefined) await cp(lab, folder, { recursive: true });
    else await makeAuthority(folder, authorityUsage);
    await issue(folder, "kubernetes", { names, ...options });

    const files: CredentialFiles = new Map(
      await Promise.all(
        (["ca.pem", "kubernetes.pem"] as const).map(
          async (name) => [name, await readFile(join(folder, name))] as const,
        ),
      ),
    );
    const fields = collect(checkCredentials(files, cluster, { now: new Date() })).problems.map(
      (problem) => problem.field,
    );
    if (field === undefined) t.same(fields, []);
    else t.ok(fields.includes(field), fields.join(", "));

    // The certificate must be valid for a server, and also for a client of etcd and of the kubelets.
    const verdicts = await Promise.all(
      ["sslserver", "sslclient"].map(async (purpose) => {
        const argv = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-auth_level", "2"];
        const files = ["-verify_ip", "203.0.113.10", "-CAfile", join(folder, "ca.pem"), join(folder, "kubernetes.pem")];
        const { stdout, stderr } = await run([...argv, ...files]);
        return stdout + stderr;
      }),
    );
    if (says === undefined) for (const verdict of verdicts) t.match(verdict, /: OK\n$/);
    else t.match(verdicts.join(""), says);
  });
}
