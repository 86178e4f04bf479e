import { type DesiredState, hasEtcdCa } from "../../proto/desired.ts";
import { clientUrl, etcdClientFiles } from "../../proto/etcd.ts";
import { askHealth, explainHealth, type HealthCheck, healthCheckOf, probeHealth } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { probeLiveness } from "../health/liveness.ts";

export interface DoubtOptions {
  /** The components whose service or health check failed. */
  readonly failed: readonly string[];
  /** The desired state that the rollback would restore. */
  readonly to: DesiredState;
  /** Whether nginx answers the load balancer's health check with 503. */
  readonly drained: boolean;
  readonly signal: AbortSignal;
}

/**
 * Returns a reason to doubt that the change broke the failed components. A component may be healthy after all, or may
 * have failed for a different reason. Returns null only if there is positive evidence that the change broke every
 * failed component.
 */
export async function doubtFailures(os: Os, { failed, to, drained, signal }: DoubtOptions): Promise<string | null> {
  for (const component of failed) {
    const check = healthCheckOf(component, { drained });
    const illness = await findIllness(check, os, signal);
    const doubt = illness.kind === "unsure" ? illness.reason : await doubtCause(component, illness);
    if (doubt !== null) return `${component}: ${doubt}`;
  }
  return null;

  /** Returns a possible cause of the failure other than the change. */
  async function doubtCause(component: string, { kind }: Illness): Promise<string | null> {
    switch (component) {
      case "kube-apiserver":
        return noEtcd(await etcdAnswers(serversOf(to)));
      case "etcd": {
        const own = clientUrl(os.identity);
        const others = to.cluster.controllers.map(clientUrl).filter((server) => server !== own);
        // A running etcd member reports the health of the whole cluster, not only its own.
        return kind === "dead" ? null : noEtcd(await etcdAnswers(others));
      }
      default: {
        const reason = failed.includes("kube-apiserver")
          ? null
          : await probeHealth(healthCheckOf("kube-apiserver"), os, signal);
        return reason === null ? null : `its API server is not healthy: ${reason}`;
      }
    }
  }

  /**
   * Uses the credentials from the older desired state to check the health of etcd servers. A healthy response proves
   * that the agent's clock, CA and network are fine, and that etcd has a quorum. Returns null if at least one server is
   * healthy. Otherwise, returns the reason why each server is unhealthy.
   */
  async function etcdAnswers(servers: readonly string[]): Promise<string[] | null> {
    const pem = (name: string): string | undefined => {
      const content = to.credentials.find((credential) => credential.name === name)?.content;
      return content === undefined ? undefined : Buffer.from(content).toString("utf8");
    };
    const { ca, certificate, key } = etcdClientFiles(hasEtcdCa(to));
    const [caPem, certPem, keyPem] = [pem(ca), pem(certificate), pem(key)];
    if (caPem === undefined || certPem === undefined || keyPem === undefined)
      return ["the agent has no credentials for etcd"];
    const check = healthCheckOf("etcd");
    const reasons = await Promise.all(
      servers.map(async (server) => {
        const options = { signal, timeoutMillis: etcdTimeoutMillis, caPem, certPem, keyPem };
        return explainHealth(check, await os.probes.http(`${server}${check.path}`, options));
      }),
    );
    return reasons.includes(null) ? null : reasons.flatMap((reason) => reason ?? []);
  }
}

const etcdTimeoutMillis = 3_000;

function noEtcd(reasons: readonly string[] | null): string | null {
  if (reasons === null) return null;
  return `no other etcd server is known to be healthy${reasons.length === 0 ? "" : ` (${reasons.join("; ")})`}`;
}

/** The etcd servers that the API server uses in this desired state. */
function serversOf({ flags, cluster }: DesiredState): readonly string[] {
  return flags["kube-apiserver"]?.set["etcd-servers"]?.split(",") ?? cluster.etcdServers;
}

type Illness =
  | { readonly kind: "unsure"; readonly reason: string }
  /** The component is not running, hangs, or reports that it is not alive. */
  | { readonly kind: "dead" }
  /** The component is running and reports that it is not healthy. */
  | { readonly kind: "answers" };

/**
 * Determines whether a component is dead, unhealthy but responding, or possibly healthy. A failed TLS handshake proves
 * nothing, because the agent's clock or CA may be wrong.
 */
async function findIllness(check: HealthCheck, os: Os, signal: AbortSignal): Promise<Illness> {
  const { liveness, reason } = await probeLiveness(check, os, { signal, apiServerWell: true });
  if (reason === null) return { kind: "unsure", reason: "it is healthy now" };
  if (liveness.kind === "unknown") return { kind: "unsure", reason: liveness.reason };
  if (liveness.kind === "dead") return { kind: "dead" };
  const answer = await askHealth(check, os, { signal });
  return typeof answer === "string" || answer.status === 0 ? { kind: "unsure", reason } : { kind: "answers" };
}
