import type { CredentialName } from "../../proto/components.ts";
import type { Os, ProbeResult } from "../os/os.ts";
import { credentialFile } from "../paths.ts";
import { explainTls } from "../tls-failure.ts";

/** How a component tells that it is well. */
export interface HealthCheck {
  readonly component: string;
  readonly unit: string;
  readonly url: string;
  readonly path: string;
  /** Replaces the Host header. */
  readonly host?: string;
  /** The server's certificate is one of the cluster's CA (the controller manager and the scheduler sign their own). */
  readonly clusterCa?: boolean;
  /** It answers only those who show a certificate of the cluster's CA: the API server's own is shown. */
  readonly clientCertificate?: boolean;
  /** The HTTP statuses with which it is well; without this, 200. */
  readonly wellStatuses?: readonly number[];
}

const defaultTimeoutMillis = 3_000;

/** A node that is drained answers the load balancer so, by order. */
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
    clusterCa: true,
    clientCertificate: true,
  },
];

/** @param drained What the load balancer asks is answered with 503 by order, and nginx is well when it does so. */
export function healthCheckOf(
  component: string,
  { drained = false }: { readonly drained?: boolean } = {},
): HealthCheck {
  const check = healthChecks.find((known) => known.component === component);
  if (check === undefined) throw new TypeError(`${component} has no health check`);
  return drained && component === "nginx" ? { ...check, wellStatuses: [drainedStatus] } : check;
}

/** Null when the component is well, else why not, in words. */
export async function probeHealth(check: HealthCheck, os: Os, signal: AbortSignal): Promise<string | null> {
  const asked = await askHealth(check, os, { signal });
  return typeof asked === "string" ? asked : explainHealth(check, asked);
}

/** What its endpoint answers; a text where it cannot be asked, which says why. */
export async function askHealth(
  check: HealthCheck,
  { files, probes, clock }: Os,
  options: { readonly signal: AbortSignal; readonly keepAlive?: boolean; readonly timeoutMillis?: number },
): Promise<ProbeResult | string> {
  const text = async (name: CredentialName, wanted = false): Promise<string | undefined> =>
    wanted ? (await files.readOften(credentialFile(name)))?.toString("utf8") : undefined;
  const [caPem, certPem, keyPem] = await Promise.all([
    text("ca.pem", check.clusterCa),
    text("kubernetes.pem", check.clientCertificate),
    text("kubernetes-key.pem", check.clientCertificate),
  ]);
  if (check.clusterCa === true && caPem === undefined) return `${check.path} cannot be verified: there is no ca.pem`;
  const result = await probes.http(check.url, {
    timeoutMillis: defaultTimeoutMillis,
    ...options,
    ...(check.host !== undefined && { host: check.host }),
    ...(caPem !== undefined && { caPem }),
    ...(certPem !== undefined && { certPem }),
    ...(keyPem !== undefined && { keyPem }),
  });
  return result.failure === "unverified" || result.failure === "rejected"
    ? { ...result, body: await explainTls(result, { files, clock }) }
    : result;
}

/** Null when this answer tells that the component is well, else why not, in words. */
export function explainHealth(
  { component, path, wellStatuses = [200] }: HealthCheck,
  result: ProbeResult,
): string | null {
  const { status, body } = result;
  if (status === 0) return `${path} ${unanswered(result)}: ${body}`;
  const told = component === "etcd" ? body.trim().slice(0, maxToldLength) : "";
  if (wellStatuses.includes(status) && (component !== "etcd" || /"health"\s*:\s*"?true/.test(body))) return null;
  const failing = failingChecks(result);
  return `${path} answers ${status}${failing.length === 0 ? "" : `, failing: ${failing.join(", ")}`}${told && `: ${told}`}`;
}

const maxToldLength = 200;

function unanswered({ failure }: ProbeResult): string {
  if (failure === "unverified") return "is answered by a server that cannot be verified";
  return failure === "rejected" ? "is answered by a server that refuses the agent" : "does not answer";
}

/** Kubernetes lists its sub-checks in the answer, the failing ones as "[-]etcd failed: reason withheld". */
export function failingChecks({ body }: ProbeResult): string[] {
  return [...body.matchAll(/^\[-\](\S+) /gm)].flatMap(([, name]) => name ?? []);
}
