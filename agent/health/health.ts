import { etcdClientFiles, type EtcdFiles } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import type { ProbeResult } from "../os/probes.ts";
import { credentialFile } from "../paths.ts";
import { readEtcdClientFiles } from "./etcd-client.ts";
import { explainTls } from "./tls-failure.ts";

/** A component's health endpoint. */
export interface HealthCheck {
  readonly component: string;
  readonly unit: string;
  readonly url: string;
  readonly path: string;
  /** Replaces the Host header. */
  readonly host?: string;
  /**
   * Whether the server's certificate is signed by the cluster's CA. The controller manager and the scheduler sign
   * their own certificates.
   */
  readonly clusterCa?: boolean;
  /**
   * Whether the endpoint belongs to etcd. The agent calls etcd with the certificate and key that the API server uses.
   */
  readonly asEtcdClient?: boolean;
  /** The HTTP status codes that a healthy component returns; 200 by default. */
  readonly wellStatuses?: readonly number[];
}

const defaultTimeoutMillis = 3_000;

/** nginx on a drained node answers the load balancer's health check with this status. */
const drainedStatus = 503;

export const healthChecks: readonly HealthCheck[] = [
  {
    component: "kube-apiserver",
    unit: "kube-apiserver.service",
    url: "https://127.0.0.1:6443/readyz?verbose",
    path: "/readyz",
    clusterCa: true,
  },
  {
    component: "kube-controller-manager",
    unit: "kube-controller-manager.service",
    url: "https://127.0.0.1:10257/healthz",
    path: "/healthz",
  },
  {
    component: "kube-scheduler",
    unit: "kube-scheduler.service",
    url: "https://127.0.0.1:10259/healthz",
    path: "/healthz",
  },
  {
    component: "nginx",
    unit: "nginx.service",
    url: "http://127.0.0.1:80/healthz",
    path: "/healthz",
    host: "kubernetes.default.svc.cluster.local",
  },
  {
    component: "etcd",
    unit: "etcd.service",
    url: "https://127.0.0.1:2379/health",
    path: "/health",
    asEtcdClient: true,
  },
];

/**
 * @param drained whether the node is drained; on a drained node, nginx deliberately answers the load balancer with 503,
 * which counts as healthy
 */
export function healthCheckOf(
  component: string,
  { drained = false }: { readonly drained?: boolean } = {},
): HealthCheck {
  const check = healthChecks.find((known) => known.component === component);
  if (check === undefined) throw new TypeError(`${component} has no health check`);
  return drained && component === "nginx" ? { ...check, wellStatuses: [drainedStatus] } : check;
}

/** Returns null if the component is healthy, otherwise the reason why it is unhealthy. */
export async function probeHealth(check: HealthCheck, os: Os, signal: AbortSignal): Promise<string | null> {
  const asked = await askHealth(check, os, { signal });
  return typeof asked === "string" ? asked : explainHealth(check, asked);
}

/** Returns the endpoint's response, or the reason why the request cannot be sent. */
export async function askHealth(
  check: HealthCheck,
  { files, probes, clock }: Os,
  options: { readonly signal: AbortSignal; readonly keepAlive?: boolean; readonly timeoutMillis?: number },
): Promise<ProbeResult | string> {
  const { names, caPem, certPem, keyPem } = await readPems(check, files);
  if ((check.clusterCa === true || check.asEtcdClient === true) && caPem === undefined)
    return `${check.path} cannot be verified: ${names.ca} is missing`;
  const result = await probes.http(check.url, {
    timeoutMillis: defaultTimeoutMillis,
    ...options,
    ...(check.host !== undefined && { host: check.host }),
    ...(caPem !== undefined && { caPem }),
    ...(certPem !== undefined && { certPem }),
    ...(keyPem !== undefined && { keyPem }),
  });
  return result.failure === "unverified" || result.failure === "rejected"
    ? { ...result, body: await explainTls(result, { files, clock, clientCertificate: names.certificate }) }
    : result;
}

interface Pems {
  readonly names: EtcdFiles;
  readonly caPem?: string | undefined;
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
}

async function readPems({ clusterCa, asEtcdClient }: HealthCheck, files: Os["files"]): Promise<Pems> {
  const read = async (path: string): Promise<Buffer | undefined> => files.readOften(path);
  const shared = etcdClientFiles(false);
  if (clusterCa === true) return { names: shared, caPem: (await read(credentialFile(shared.ca)))?.toString("utf8") };
  if (asEtcdClient !== true) return { names: shared };
  const { names, ca, cert, key } = await readEtcdClientFiles(read);
  return { names, caPem: ca?.toString("utf8"), certPem: cert?.toString("utf8"), keyPem: key?.toString("utf8") };
}

/** Returns null if the response shows that the component is healthy, otherwise the reason why it is unhealthy. */
export function explainHealth(
  { component, path, wellStatuses = [200] }: HealthCheck,
  result: ProbeResult,
): string | null {
  const { status, body } = result;
  if (status === 0) return `${path}${unanswered(result)}: ${body}`;
  const told = component === "etcd" ? body.trim().slice(0, maxToldLength) : "";
  if (wellStatuses.includes(status) && (component !== "etcd" || /"health"\s*:\s*"?true/.test(body))) return null;
  const failing = failingChecks(result);
  return `${path} answers ${status}${failing.length === 0 ? "" : `, failing: ${failing.join(", ")}`}${told && `: ${told}`}`;
}

const maxToldLength = 200;

function unanswered({ failure }: ProbeResult): string {
  if (failure === "unverified") return ": the server that answered cannot be verified";
  return failure === "rejected" ? ": the server that answered rejects the agent's TLS handshake" : " does not answer";
}

/**
 * Returns the names of the failed checks in a response from Kubernetes. The line of a failed check is, for example,
 * "[-]etcd failed: reason withheld".
 */
export function failingChecks({ body }: ProbeResult): string[] {
  return [...body.matchAll(/^\[-\](\S+) /gm)].flatMap(([, name]) => name ?? []);
}
