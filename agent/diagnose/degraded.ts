import { clientComponents } from "./causes/clients.ts";
import { etcdClient, kmsPlugin } from "./causes/kube-apiserver.ts";
import type { Cause, Evidence } from "./evidence.ts";

/** Matches the reason for a failed health check. The evidence contains this reason as a line. */
const withoutEtcd = /failing: .*\betcd\b/;

const someAnswer = ({ etcd = [] }: Evidence): boolean => etcd.some(({ status }) => status !== 0);
const noneIsWell = ({ etcd = [] }: Evidence): boolean =>
  !etcd.some(({ status, body }) => status === 200 && /"health"\s*:\s*"?true/.test(body));

/**
 * The causes that make an API server crash when it cannot use etcd. They also apply to a running API server if etcd's
 * own responses confirm them.
 */
const etcdAilments = etcdClient.map((cause): Cause => ({ ...cause, pattern: withoutEtcd, when: agrees(cause) }));

function agrees({ id, when = () => true }: Cause): NonNullable<Cause["when"]> {
  if (id === "etcd-unreachable") return (evidence) => !someAnswer(evidence);
  if (id === "etcd-no-quorum") return (evidence) => someAnswer(evidence) && noneIsWell(evidence);
  return when;
}

const asked = "(?:error retrieving resource lock|[Ff]ailed to (?:list|watch|update lock)|error initially creating)";

const servers = ["kube-apiserver", "etcd"];
/**
 * The wording of the health check's message (health.ts, tls-failure.ts). The message mentions the clock only if the
 * certificate is not valid according to the clock.
 */
const unverified = "the server that answered cannot be verified: ";
const clockRemedy =
  "correct the machine's clock (`timedatectl` on the node shows it); until then, the agent does not restart anything";

/**
 * The causes if a server answers, but presents a certificate that is not valid according to the agent's clock.
 */
const certificateCauses: readonly Cause[] = [
  {
    id: "agent-clock-wrong",
    components: servers,
    pattern: new RegExp(
      `${unverified}.*; the agent's clock says (?<agent>\\S+), but the server's clock says (?<server>\\S+): `,
    ),
    message:
      "the agent cannot verify its certificate: the agent's clock says {agent}, but the server's clock says {server}",
    remedy: clockRemedy,
  },
  {
    id: "serving-certificate-expired",
    components: servers,
    pattern: new RegExp(
      `${unverified}certificate has expired: (?<file>.+?) \\(.* to (?<end>\\S+); this machine's clock says`,
    ),
    message: "the certificate that it presents expired at {end}: {file}",
    remedy:
      "run `khw-client pki renew kubernetes` (`pki renew etcd-server` if etcd has its own CA); if the machine's clock is wrong (`timedatectl` on the node), set the clock instead",
  },
  {
    id: "serving-certificate-early",
    components: servers,
    pattern: new RegExp(
      `${unverified}certificate is not yet valid: (?<file>.+?) \\(.*valid from (?<start>\\S+) to .*; this machine's clock says (?<now>\\S+)`,
    ),
    message: "the certificate that it presents is valid only from {start}, but the machine's clock says {now}: {file}",
    remedy: clockRemedy,
  },
];

/** The reasons why a running component does not work, in search order. */
export const degradedCauses: readonly Cause[] = [
  ...certificateCauses,
  ...etcdAilments,
  ...kmsPlugin,
  {
    id: "client-unauthorized",
    components: clientComponents,
    pattern: new RegExp(`^E.*${asked}.*: Unauthorized`),
    message: "the API server does not accept its credentials",
    remedy:
      "create its kubeconfig again as in lab 05, with a valid client certificate from the cluster's CA, and run `khw-client bootstrap`",
  },
  {
    id: "client-forbidden",
    components: clientComponents,
    pattern: new RegExp(
      `^E.*${asked}.* is forbidden: User "(?<user>[^"]*)" cannot (?<verb>\\w+) resource "(?<resource>[^"]+)"`,
    ),
    message: "the API server identifies it as the user {user}, who is not allowed to {verb} {resource}",
    remedy:
      "issue the certificate in its kubeconfig for system:{component}, as in lab 04; if the certificate is correct, restart an API server, which restores the default roles",
  },
  {
    id: "api-server-authority-unknown",
    components: clientComponents,
    pattern: new RegExp(`^E.*${asked}.*x509: certificate signed by unknown authority`),
    message: "the API server's certificate is not signed by the CA in this component's kubeconfig",
    remedy: "create its kubeconfig again as in lab 05, with the CA that signed the API server's certificate",
  },
  {
    id: "api-server-certificate-expired",
    components: clientComponents,
    pattern: new RegExp(`^E.*${asked}.*x509: certificate has expired or is not yet valid`),
    message: "the API server's certificate has expired, or is not valid yet according to this machine's clock",
    remedy: "run `khw-client pki renew kubernetes`; if the machine's clock is wrong, set the clock instead",
  },
  {
    id: "api-server-unreachable",
    components: clientComponents,
    pattern: new RegExp(
      `^E.*${asked}.*(?:dial tcp \\S+: |context deadline exceeded|Client\\.Timeout exceeded|TLS handshake timeout)`,
    ),
    message: "the API server in its kubeconfig does not answer",
    remedy:
      "check kube-apiserver on this node; if it answers, correct the server in the kubeconfig (https://127.0.0.1:6443 in lab 05)",
  },
];

/**
 * The components that report themselves healthy even when they barely work. For these components, the agent also reads
 * the journal.
 */
export const silentlyDegraded: ReadonlySet<string> = new Set(clientComponents);
