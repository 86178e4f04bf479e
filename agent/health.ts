import type { Os, ProbeResult } from "./os/os.ts";
import { credentialFile } from "./paths.ts";

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
}

const timeoutMillis = 5_000;

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
];

export function healthCheckOf(component: string): HealthCheck {
  const check = healthChecks.find((known) => known.component === component);
  if (check === undefined) throw new TypeError(`${component} has no health check`);
  return check;
}

/** Null when the component is well, else why not, in words. */
export async function probeHealth(
  check: HealthCheck,
  { files, probes }: Os,
  signal: AbortSignal,
): Promise<string | null> {
  const ca = check.clusterCa === true ? await files.read(credentialFile("ca.pem")) : undefined;
  if (check.clusterCa === true && ca === undefined) return `${check.path} cannot be verified: there is no ca.pem`;
  const result = await probes.http(check.url, {
    signal,
    timeoutMillis,
    ...(check.host === undefined ? {} : { host: check.host }),
    ...(ca === undefined ? {} : { caPem: ca.toString("utf8") }),
  });
  return result.status === 200 ? null : explain(check, result);
}

/** Kubernetes lists its sub-checks in the answer, the failing ones as "[-]etcd failed: reason withheld". */
function explain({ path }: HealthCheck, { status, body }: ProbeResult): string {
  if (status === 0) return `${path} does not answer: ${body}`;
  const failing = [...body.matchAll(/^\[-\](\S+) /gm)].map(([, name]) => name);
  return `${path} answers ${status}${failing.length === 0 ? "" : `, failing: ${failing.join(", ")}`}`;
}
