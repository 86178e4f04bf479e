import type { X509Certificate } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import { refuse, show } from "../../proto/validate.ts";
import { conclude } from "../cluster/combine-errors.ts";
import { openCloud, refuseNoNodes } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readAdmin } from "../kubeconfig/admin.ts";
import { readCertificates } from "../pki/check/pem.ts";
import { readPresent } from "../pki/cluster/folder.ts";
import { servingNames } from "../pki/subjects.ts";
import type { Output } from "../progress/open.ts";
import { type Addresses, findAddresses } from "../rollout/addresses.ts";
import { type ApproveContext, approvePending, resultErrors } from "../serving-certificates/approve.ts";
import { isNodeName, type Reserved } from "../serving-certificates/judge.ts";
import { outcomeOf, type RequestResult, resultDocument, resultText } from "../serving-certificates/report.ts";
import { watchRequests } from "../serving-certificates/watch.ts";
import type { Context } from "../terminal/context.ts";
import { openPublicApi } from "../verify/verification.ts";

export interface WorkerApproveOptions {
  readonly output: Output;
  /** The nodes whose requests are decided; if empty, all requests are decided. */
  readonly nodes: readonly string[];
  /** Whether to wait for requests until each named node has a certificate, or until Ctrl-C. */
  readonly watch: boolean;
}

/**
 * Approves requests for kubelets' serving certificates if they match the Node object and the data in the Compute API.
 * Returns exit code 0 if all decided requests are approved.
 * @throws KhwError CREDENTIAL_INVALID if a request is refused; NOT_RUN if a named node has no request
 */
export async function workerApprove(
  config: ClusterConfig,
  context: Context,
  { output, nodes, watch }: WorkerApproveOptions,
): Promise<number> {
  const bad = nodes.find((name) => !isNodeName(name));
  if (bad !== undefined) refuse("node", `${show(bad)} cannot be the name of a node`);
  refuseNoNodes(config);
  refuseNoProject(config);
  const { signal } = context;
  const admin = await readAdmin(config);
  await using compute = await openCloud(config);
  const addresses = await findAddresses(config, signal);
  const reviewing: ApproveContext = {
    api: openPublicApi({ publicAddress: addresses.publicAddress, admin }),
    compute,
    place: { project: config.gce.project ?? "", network: config.gce.network },
    reserved: reservedNames(config, addresses),
    roots: await authorities(config, admin.ca),
    now: Date.now,
    signal,
  };
  if (watch) {
    const format = (result: RequestResult): string =>
      output === "json" ? `${JSON.stringify(resultDocument(result))}\n` : resultText(result);
    const all = await watchRequests(reviewing, { nodes, format, write: context.write, warn: context.warn });
    return all || nodes.length === 0 ? 0 : 130;
  }
  const { results, approved } = await approvePending(reviewing, {
    nodes,
    report: (result) => {
      if (output === "text") context.write(resultText(result));
    },
  });
  if (output === "json") context.write(`${JSON.stringify({ requests: results.map(resultDocument) }, null, 2)}\n`);
  else if (results.length === 0) context.write("no request for a serving certificate is pending\n");
  const missing = nodes.filter((name) => !approved.has(name) && results.every(({ review }) => review.node !== name));
  conclude([...resultErrors(results), ...missing.map(missingError)], {
    done: results.filter((result) => outcomeOf(result) === "approved").length,
    headline: "not every request is approved",
  });
  return 0;
}

/** @throws KhwError CONFIG_INVALID for machines outside of Compute Engine, because khw cannot verify their addresses */
function refuseNoProject({ gce, loadBalancer }: ClusterConfig): void {
  if (loadBalancer === "gce" || gce.project !== undefined) return;
  throw new KhwError("CONFIG_INVALID", "requests are checked against the Compute API, but gce.project is unknown", {
    hint: "use --project; outside Compute Engine, check the request yourself, then run kubectl certificate approve NAME",
  });
}

function missingError(node: string): KhwError {
  return new KhwError("NOT_RUN", "the node has no pending request for a serving certificate", {
    node,
    hint: `set serverTLSBootstrap: true for its kubelet, then run khw-client worker approve ${node} --watch`,
  });
}

/** The controllers, and every name and address that a server could use to impersonate an API server. */
function reservedNames({ nodes, cluster, pki }: ClusterConfig, { controllers, publicAddress }: Addresses): Reserved {
  const { serviceCidr } = cluster;
  const names = nodes.map(({ name }) => name);
  const hosts = nodes.flatMap(({ host }) => host ?? []);
  const serving = servingNames({ controllers, publicAddress, serviceCidr }, pki.extraNames);
  return { nodes: new Set(names), names: new Set([...names, ...hosts, ...serving, "localhost"]) };
}

/** The CAs that the API servers use to verify kubelets: the cluster's CA, and the signing CA if there is one. */
async function authorities({ credentials }: ClusterConfig, ca: Buffer): Promise<readonly X509Certificate[]> {
  const signing = "signing-ca.pem";
  const pem = (await readPresent(credentials.folder, [signing])).get(signing);
  return [...readCertificates(ca), ...(pem === undefined ? [] : readCertificates(Buffer.from(pem)))];
}
