import { KhwError } from "../../proto/errors.ts";
import type { Maintenance } from "../../proto/gen/khw/agent/v1/agent.ts";
import { createKubernetesApi, type KubernetesApi } from "../../proto/kubernetes-api.ts";
import type { Releases } from "../config/releases.ts";
import type { Cloud, Member, OpenCluster } from "../cluster/open.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import { drainedNote, refuseDrained } from "../drain/drained.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { anonymousCheck, type Check, clusterChecks, nodeCheck, publicAddressChecks, verify } from "./verify.ts";

const requestMillis = 10_000;

/** The data from a plan that the verification needs. */
interface VerificationTarget {
  readonly publicAddress: string;
  readonly releases: Releases;
  readonly admin: AdminCredentials;
  /** The nodes to verify. */
  readonly nodes: readonly AgentNode[];
  /** The drained nodes; they stay drained. */
  readonly drained: ReadonlyMap<AgentNode, Maintenance>;
  /**
   * Whether to check the limit on anonymous requests, if khw.yaml sets the limit. Only `bootstrap` applies the limit,
   * so this check could make other commands fail through no fault of their own. Default: false.
   */
  readonly checkAnonymous?: boolean;
}

/** Returns access to the Kubernetes API at the public address, with the administrator's certificate. */
export function openPublicApi({
  publicAddress,
  admin: { ca, certificate, key },
}: Pick<VerificationTarget, "publicAddress" | "admin">): KubernetesApi {
  const server = `https://${publicAddress}:6443`;
  return createKubernetesApi({ server, ca, certificate, key, timeoutMillis: requestMillis });
}

/** Returns access to the Kubernetes API at the public address, without a certificate. */
function openAnonymously(address: string, { ca }: Pick<AdminCredentials, "ca">): KubernetesApi {
  return createKubernetesApi({ server: `https://${address}:6443`, ca, timeoutMillis: requestMillis });
}

/**
 * Returns all checks that prove from outside that a cluster works. A drained node must be out of the load balancer.
 */
export function verification(
  { cloud, config }: OpenCluster,
  { publicAddress: address, releases, admin, nodes, drained, checkAnonymous = false }: VerificationTarget,
): Check[] {
  const api = openPublicApi({ publicAddress: address, admin });
  return [
    ...publicAddressChecks(api, { address, ca: admin.ca, version: releases.kubernetes }),
    ...nodes.map(nodeCheck),
    ...(cloud === undefined ? [] : nodes.map((node) => backendCheck(cloud, node, drained.has(node)))),
    ...clusterChecks(api),
    ...(checkAnonymous && config.hardening.anonymousLimited ? [anonymousCheck(openAnonymously(address, admin))] : []),
  ];
}

/** Returns the drained nodes; a node that does not answer is left out. */
export async function findDrained(
  members: readonly Member[],
  signal: AbortSignal,
): Promise<ReadonlyMap<AgentNode, Maintenance>> {
  const answers = await forEachNode(members, maxConcurrentNodes, (node) => node.status(signal));
  return new Map(
    members.flatMap(({ node }, index) => {
      const maintenance = answers[index]?.value?.maintenance;
      return maintenance?.drained === true ? [[node, maintenance]] : [];
    }),
  );
}

function backendCheck({ compute, loadBalancer }: Cloud, node: AgentNode, drained: boolean): Check {
  const { name } = node.address;
  const pool = `the target pool ${loadBalancer.targetPool}`;
  return {
    title: drained ? `${name} is drained and not HEALTHY in ${pool}` : `${name} is HEALTHY in ${pool}`,
    run: async (signal) => {
      const { poolHealth } = await import("../gce/health.ts");
      const instances = loadBalancer.instances.filter((instance) => instance.name === name);
      const [health] = await poolHealth(compute, { ...loadBalancer, instances }, signal);
      if ((health?.state === "HEALTHY") !== drained) return;
      if (!drained) await refuseDrained(node, signal);
      throw new KhwError("VERIFY_FAILED", `Google's health check reports ${health?.state ?? "nothing"}`, {
        hint: "check that the firewall allows the health checks, and check with khw-client status that nginx is running on the node",
      });
    },
  };
}

export interface VerifyClusterOptions extends ProgressOptions {
  /** How long failing checks are repeated. */
  readonly waitMillis: number;
  /** The checks to print. */
  readonly show: "all" | "failed";
}

/**
 * Runs all checks that prove from outside that the cluster works, and returns an error for each failed check. If there
 * are no nodes to verify, no checks run.
 */
export async function verifyCluster(
  cluster: OpenCluster,
  target: VerificationTarget,
  { progress, signal, waitMillis, show }: VerifyClusterOptions,
): Promise<KhwError[]> {
  if (target.nodes.length === 0) return [];
  for (const [{ address }, maintenance] of target.drained) note(progress, drainedNote(address.name, maintenance));
  const results = await verify(verification(cluster, target), {
    signal,
    waitMillis,
    report: (check) => {
      if (show === "all" || check.error !== undefined) progress.emit({ kind: "check", ...check });
    },
  });
  return results.flatMap(({ title, error }) =>
    error === undefined ? [] : [new KhwError(error.code, `${title}: ${error.message}`, error)],
  );
}
