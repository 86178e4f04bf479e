import type { Cause, Evidence } from "../evidence.ts";
import { blamesKms } from "../kms-facts.ts";

const components = ["kube-apiserver"];

/** Matches the last message of an API server that has waited 20 seconds for etcd, in releases 1.20 and later. */
const gaveUp = /^Error: (?:.*: )?context deadline exceeded|Unable to create storage backend|error while dialing.*:2379/;

const said = (pattern: RegExp) => (_: Evidence, start: readonly string[]) => start.some((line) => pattern.test(line));

const connecting = "authentication handshake failed: .*x509: ";
const unknownAuthority = new RegExp(`${connecting}certificate signed by unknown authority`);
const otherName = new RegExp(`${connecting}(?:certificate is valid for|cannot validate certificate)`);
const expired = new RegExp(`${connecting}certificate has expired`);
const refused = /remote error: tls: (?:bad|unknown) certificate/;
const notThere = /Error while dialing|connection refused|no route to host/;
const notInTime = /createTransport failed to connect to .*(?:context deadline exceeded|i\/o timeout)/;

/**
 * The etcd problems that make an API server exit. The API server's last message reports only a timeout. Earlier lines
 * from the same start reveal the cause.
 */
export const etcdClient: readonly Cause[] = [
  {
    id: "etcd-authority-unknown",
    components,
    pattern: gaveUp,
    shows: unknownAuthority,
    when: said(unknownAuthority),
    message: "the CA in {etcd_cafile}, which the API server trusts, did not sign etcd's certificate",
    remedy: "put the CA that signed etcd's certificates into {etcd_cafile} (--etcd-cafile)",
  },
  {
    id: "etcd-certificate-name",
    components,
    pattern: gaveUp,
    shows: otherName,
    when: said(otherName),
    message: "etcd's certificate is not valid for the address in --etcd-servers",
    remedy:
      "issue etcd's certificate for the address of {server}, or fix cluster.etcdServers in khw.yaml (--etcd-servers)",
  },
  {
    id: "etcd-certificate-expired",
    components,
    pattern: gaveUp,
    shows: expired,
    when: said(expired),
    message: "etcd's own certificate has expired",
    remedy: "renew etcd's server certificate (its --cert-file) at {server}, and restart etcd there",
  },
  {
    id: "client-certificate-expired",
    components,
    pattern: gaveUp,
    when: ({ etcdCertificate }) => etcdCertificate?.ended !== undefined,
    message: "etcd rejects the API server's certificate {etcd_certfile}: it expired on {day}",
    remedy: "renew {etcd_certfile} (--etcd-certfile) and run `khw-client bootstrap` to copy it to the nodes",
  },
  {
    id: "client-certificate-refused",
    components,
    pattern: gaveUp,
    shows: refused,
    when: (evidence, start) => evidence.etcdCertificate?.foreign === true || said(refused)(evidence, start),
    message: "etcd rejects the API server's certificate {etcd_certfile}: it is not signed by the CA that etcd trusts",
    remedy:
      "issue {etcd_certfile} and {etcd_keyfile} (--etcd-certfile, --etcd-keyfile) with the CA that etcd trusts (its --trusted-ca-file)",
  },
  {
    id: "etcd-unreachable",
    components,
    pattern: gaveUp,
    shows: notThere,
    // If some servers answer and others do not, the cluster has no quorum.
    when: ({ etcd = [] }, start) =>
      start.some((line) => notThere.test(line)) &&
      !etcd.some(({ body }) => /no answer within|"health":\s*"false"/.test(body)),
    message: "no etcd server answers: {server}",
    remedy:
      "start etcd on these servers (`systemctl start etcd`), and check that --etcd-servers ({etcd_servers}) is correct and port 2379 is open",
  },
  {
    id: "etcd-no-quorum",
    components,
    pattern: gaveUp,
    shows: notInTime,
    message:
      "etcd does not answer in time at {server}: it has no quorum (too few of its members are running), or it is overloaded",
    remedy:
      "start etcd on the other controllers until more than half of its members run; `etcdctl endpoint health --cluster` lists them",
  },
];

/** The problems with a KMS plugin that keep a running API server from becoming ready. */
export const kmsPlugin: readonly Cause[] = [
  {
    id: "kms-socket-missing",
    components,
    pattern: blamesKms,
    when: ({ kms }) => kms?.exists === false,
    message: "the socket {socket} of its KMS plugin does not exist",
    remedy: "start the plugin's unit on the node, or correct the socket's path (encryption.kms in khw.yaml)",
  },
  {
    id: "kms-plugin-failing",
    components,
    pattern: blamesKms,
    when: ({ kms }) => kms?.exists === true,
    message: "its KMS plugin at {socket} does not answer, or reports an error",
    remedy: "read the journal of the plugin's unit on the node, and check that the plugin reaches its key service",
  },
];

/** The problems with the API server's own files. */
export const apiServer: readonly Cause[] = [
  {
    id: "encryption-config-missing",
    components,
    pattern: /error opening encryption provider configuration file "(?<file>[^"]+)"/,
    message: "its encryption configuration {file} cannot be opened",
    remedy:
      "put the encryption configuration from lab 06 at {file} (--encryption-provider-config), and use the same configuration on all controllers",
  },
  {
    id: "encryption-key-invalid",
    components,
    pattern: /encryption provider configuration file "(?<file>[^"]+)".*\.secret: .*(?:expected length|base64|required)/,
    message: "a key in its encryption configuration {file} is not the base64 encoding of 16, 24 or 32 bytes",
    remedy:
      "restore the cluster's own key in {file} (--encryption-provider-config), the same on all controllers; a new key (`head -c 32 /dev/urandom | base64`) cannot decrypt the values that the old key encrypted",
  },
  {
    id: "encryption-config-invalid",
    components,
    pattern: /(?:error while parsing|error decoding) encryption provider configuration(?: file "(?<file>[^"]+)")?/,
    message: "its encryption configuration {encryption_provider_config} is invalid",
    remedy:
      "fix {encryption_provider_config} (--encryption-provider-config) as in lab 06: it must be YAML of kind EncryptionConfig or EncryptionConfiguration",
  },
  {
    id: "audit-policy-invalid",
    components,
    pattern: /loading audit policy file: .*(?:"(?<file>\/[^"]+)")?/,
    message: "its audit policy {audit_policy_file} cannot be used",
    remedy: "fix {audit_policy_file}, or remove --audit-policy-file from the flags of kube-apiserver",
  },
  {
    id: "client-ca-invalid",
    components,
    pattern: /(?:missing content for|unable to load.*) CA bundle "client-ca-bundle::(?<file>[^"]+)"/,
    message: "{file}, which should contain the client CA, contains no certificate",
    remedy: "put the cluster's CA certificate into {file} (--client-ca-file)",
  },
];
