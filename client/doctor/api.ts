import { request } from "node:https";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { createKubernetesApi, type KubernetesApi } from "../../proto/kubernetes-api.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import { anonymousCheck, clusterChecks, publicAddressChecks, type Check } from "../verify/verify.ts";
import { type DoctorCheck, type Finding, findingOf, places } from "./check.ts";
import { type Facts, saidBy } from "./facts.ts";

const requestMillis = 10_000;
/** A name in every API server's certificate. With this name, connections to any address can be verified. */
const nameOfAll = "kubernetes.default.svc";

/**
 * Checks that the API answers at the public address and through each node. Also checks that the API has the objects
 * that every cluster needs.
 */
export function apiChecks(facts: Facts): DoctorCheck[] {
  const { cluster, kubernetes, hardening } = facts.config;
  type Make = (api: KubernetesApi, address: string, ca: Buffer) => Check[];
  const anonymous: Make = (_, address, ca) => [
    anonymousCheck((...call) =>
      createKubernetesApi({ server: `https://${address}:6443`, ca, timeoutMillis: requestMillis })(...call),
    ),
  ];
  // Only the titles of these checks are used, so a placeholder for the API is enough.
  const titled = (make: Make, where: string): DoctorCheck[] =>
    make(async () => ({ status: 0, body: "" }), cluster.publicAddress ?? "PUBLIC_ADDRESS", Buffer.of()).map(
      ({ title }, index) => ({
        where,
        title,
        run: async (signal) => {
          const [address, admin] = await Promise.all([facts.publicAddress(), administrator(facts)]);
          const { ca, certificate, key } = admin;
          const server = `https://${address}:6443`;
          const api = createKubernetesApi({ server, ca, certificate, key, timeoutMillis: requestMillis });
          return proven(make(api, address, ca)[index], { where, signal });
        },
      }),
    );
  return [
    ...titled(
      (api, address, ca) => publicAddressChecks(api, { address, ca, version: kubernetes.version }),
      places.loadBalancer,
    ),
    ...titled(clusterChecks, places.cluster),
    ...(hardening.anonymousLimited ? titled(anonymous, places.cluster) : []),
    ...facts.config.nodes.map(({ name }) => throughNode(name, facts)),
  ];
}

export async function administrator({ credentials }: Facts): Promise<AdminCredentials> {
  const { admin } = await credentials();
  if (admin !== undefined) return admin;
  throw new KhwError("CREDENTIAL_INVALID", "the admin kubeconfig cannot be read");
}

/**
 * Reports an unreachable public address only once. The other cluster checks that use this address count as not run.
 */
async function proven(
  check: Check | undefined,
  { where, signal }: { readonly where: string; readonly signal: AbortSignal },
): Promise<Finding[]> {
  try {
    await check?.run(signal);
    return [];
  } catch (thrown) {
    const error = toKhwError(thrown);
    if (error.code === "INTERNAL" || (where === places.cluster && error.code === "UNREACHABLE")) throw error;
    const truncate = error.message.includes("self-signed") || error.message.includes("unable to verify");
    const hint = truncate ? "check that both the address and the local ca.pem belong to this cluster" : error.hint;
    return [findingOf(new KhwError(error.code, `${check?.title ?? ""}: ${error.message}`, { hint }), where, "API")];
  }
}

function throughNode(name: string, facts: Facts): DoctorCheck {
  return {
    where: name,
    title: "its API server answers this workstation, with a certificate from the cluster's CA",
    run: async (signal) => {
      const admin = await administrator(facts);
      const { host } = facts.cluster.members.find(({ node }) => node.address.name === name)?.node.address ?? {};
      if (host === undefined) throw new KhwError("UNREACHABLE", "its address is unknown");
      try {
        const status = await askVersion(host, admin, signal);
        if (status === 200) return [];
        const remedy = `run khw-client logs ${name} kube-apiserver`;
        const message = `answered GET /version with status ${status}`;
        return [{ severity: "error", where: name, subject: "kube-apiserver", message, remedy }];
      } catch (error) {
        return [await unanswered(toAnswerError(error), name, facts)];
      }
    },
  };
}

/** Distinguishes an API server that is down from an API server that this workstation cannot reach. */
async function unanswered(
  error: { readonly tls: boolean; readonly message: string },
  name: string,
  facts: Facts,
): Promise<Finding> {
  const at = { where: name, subject: "kube-apiserver" };
  if (error.tls) {
    const remedy = error.message.includes("certificate has expired")
      ? "khw-client pki renew kubernetes"
      : "compare the local ca.pem with /var/lib/kubernetes/ca.pem on the node; khw-client bootstrap copies the local files to the node";
    return { ...at, severity: "error", message: `its certificate is not accepted: ${error.message}`, remedy };
  }
  const said = await saidBy(facts, name);
  const own = said?.status.components.find((component) => component.name === "kube-apiserver");
  const message = `port 6443 does not answer this workstation: ${error.message}`;
  if (own?.health !== Health.HEALTH_HEALTHY) {
    return { ...at, severity: "error", message, remedy: `run khw-client status ${name}` };
  }
  const remedy = "check that the firewall lets clients reach port 6443; the node itself reports a healthy API server";
  return { ...at, severity: "warning", message, remedy };
}

/**
 * Recognizes the error codes of Node.js and OpenSSL for a rejected certificate. All other codes describe connection
 * errors.
 */
function toAnswerError(error: unknown): { readonly tls: boolean; readonly message: string } {
  if (!(error instanceof Error)) return { tls: false, message: String(error) };
  const code = "code" in error ? String(error.code) : "";
  return { tls: /CERT|ALTNAME|ISSUER|SIGNATURE|SSL/.test(code), message: error.message };
}

function askVersion(host: string, { ca, certificate, key }: AdminCredentials, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request(
      {
        host,
        port: 6443,
        path: "/version",
        servername: nameOfAll,
        agent: false,
        ca,
        cert: certificate,
        key,
        headers: { host: nameOfAll },
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestMillis)]),
      },
      (answer) => {
        answer.resume();
        answer.on("error", reject);
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      },
    );
    asking.on("error", reject);
    asking.end();
  });
}
