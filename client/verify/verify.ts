import { connect } from "node:tls";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { rbacObjects } from "../../proto/rbac.ts";
import { show } from "../../proto/validate.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { AgentNode } from "../cluster/agent-client.ts";

/**
 * A fact that must be true in a working cluster. `run` resolves if the fact is true; otherwise, it throws the reason.
 */
export interface Check {
  readonly title: string;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export interface CheckResult {
  readonly title: string;
  readonly error?: KhwError;
}

export interface VerifyOptions {
  readonly signal: AbortSignal;
  /** How long a failing check is repeated; 0 means that the check runs once. */
  readonly waitMillis: number;
  /** Called as each check ends. */
  readonly report: (result: CheckResult) => void;
}

const pauseMillis = 500;
const oldestLease = 60_000;

/**
 * Runs all checks at once. Repeats each check until it passes or the time limit is reached. The results are in the
 * order of the list.
 */
export function verify(
  checks: readonly Check[],
  { signal, waitMillis, report }: VerifyOptions,
): Promise<CheckResult[]> {
  return Promise.all(
    checks.map(async ({ title, run }) => {
      const error = await settle(run, signal, waitMillis);
      const result = error === undefined ? { title } : { title, error };
      report(result);
      return result;
    }),
  );
}

async function settle(run: Check["run"], signal: AbortSignal, deadlineMillis: number): Promise<KhwError | undefined> {
  const check = async (): Promise<Look<undefined>> => {
    try {
      await run(signal);
      return { reached: undefined };
    } catch (thrown) {
      const error = toKhwError(thrown);
      // Waiting does not fix a bug, and does not undrain a node.
      if (signal.aborted || error.code === "INTERNAL" || error.code === "DRAINED") throw error;
      return { seen: error.message, cause: error };
    }
  };
  return waitFor({
    what: "a check fails",
    check,
    deadlineMillis,
    intervalMillis: pauseMillis,
    signal,
    late: ({ cause }) => cause,
  }).catch(toKhwError);
}

/**
 * Checks that the API answers at the public address with the desired version. The API server's certificate must come
 * from the cluster's CA and be valid for that address.
 */
export function publicAddressChecks(
  api: KubernetesApi,
  { address, ca, version }: { readonly address: string; readonly ca: Buffer; readonly version: string | undefined },
): Check[] {
  return [
    {
      title: `the API server's certificate is valid for ${address}`,
      run: (signal) => checkCertificate(address, ca, signal),
    },
    {
      title: `https://${address}:6443/version answers ${version}`,
      run: async (signal) => {
        const { status, body } = await api("GET", "/version", { signal });
        const found = field(body, "gitVersion");
        if (status !== 200 || found !== version)
          throw verifyError(
            `it answered with status ${status} ${typeof found === "string" ? found : ""}`,
            "check that the address belongs to this cluster",
          );
      },
    },
  ];
}

/**
 * Checks that an anonymous request reaches the health paths, but no other paths.
 * @param anonymous sends requests without a certificate
 */
export function anonymousCheck(anonymous: KubernetesApi): Check {
  return {
    title: "anonymous requests reach the health paths only",
    run: async (signal) => {
      for (const path of ["/version", "/api"]) {
        const { status } = await anonymous("GET", path, { signal });
        if (status !== 401 && status !== 403)
          throw verifyError(
            `the API server answered an anonymous request for ${path} with status ${status}`,
            "to limit anonymous requests, run `khw-client bootstrap`; the limit requires agents of this version",
          );
      }
      const { status } = await anonymous("GET", "/healthz", { signal });
      if (status === 401 || status === 403)
        throw verifyError(
          `the API server answered an anonymous request for /healthz with status ${status}`,
          "remove anonymous-auth from kubernetes.flags; the load balancer needs /healthz",
        );
    },
  };
}

/** Checks that RBAC for the kubelet exists, and that the scheduler and the controller manager have live leaders. */
export function clusterChecks(api: KubernetesApi): Check[] {
  return [
    ...rbacObjects.map(({ path, object }) => ({
      title: `${object.kind} ${object.metadata.name} exists`,
      run: async (signal: AbortSignal) => {
        const { status } = await api("GET", path, { signal });
        if (status !== 200)
          throw verifyError(
            `the API server answered with status ${status}`,
            "run `khw-client bootstrap` again to apply RBAC",
          );
      },
    })),
    ...leaderChecks(api),
  ];
}

export function leaderChecks(api: KubernetesApi): Check[] {
  return ["kube-controller-manager", "kube-scheduler"].map((name) => ({
    title: `${name} has a leader`,
    run: (signal: AbortSignal) => checkLease(api, name, signal),
  }));
}

/** Checks that every component is healthy. The request to nginx tests the whole health check, up to the API server. */
export function nodeCheck(node: AgentNode): Check {
  return {
    title: `${node.address.name}: kube-apiserver, kube-controller-manager, kube-scheduler and nginx are healthy`,
    run: async (signal) => {
      const { components } = await node.status(signal);
      const unwell = components.filter(({ health }) => health !== Health.HEALTH_HEALTHY);
      if (unwell.length > 0) {
        throw verifyError(
          unwell.map(({ name, reason }) => `${name}: ${reason}`).join("; "),
          "run khw-client status for details",
        );
      }
    },
  };
}

async function checkLease(api: KubernetesApi, name: string, signal: AbortSignal): Promise<void> {
  const { status, body } = await api("GET", `/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/${name}`, {
    signal,
  });
  if (status !== 200)
    throw verifyError(
      `the API server answered the request for its lease with status ${status}`,
      `run khw-client status to check that ${name} is running`,
    );
  const spec = field(body, "spec");
  const [holder, renewed] = [field(spec, "holderIdentity"), field(spec, "renewTime")];
  if (typeof holder !== "string" || holder === "")
    throw verifyError("no process holds its lease", `run khw-client status to check that ${name} is running`);
  const age = Date.now() - Date.parse(String(renewed));
  if (!(age < oldestLease))
    throw verifyError(
      `${show(holder)} renewed its lease ${Math.round(age / 1000)} s ago`,
      `run khw-client status to check that ${name} is running`,
    );
}

function checkCertificate(address: string, ca: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port: 6443, ca, timeout: 10_000 }, () => {
      socket.end();
      resolve();
    });
    const fail = (cause: Error): void => {
      socket.destroy();
      reject(
        new KhwError("VERIFY_FAILED", cause.message, {
          hint: cause.message.includes("certificate has expired")
            ? "khw-client pki renew kubernetes"
            : "check that the load balancer forwards to the API servers and that their certificate contains the public address",
          cause,
        }),
      );
    };
    socket.once("error", fail);
    socket.once("timeout", () => fail(new Error("no TLS connection within 10 s")));
    signal.addEventListener("abort", () => fail(new Error("cancelled")), { once: true });
  });
}

function verifyError(message: string, hint: string): KhwError {
  return new KhwError("VERIFY_FAILED", message, { hint });
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
