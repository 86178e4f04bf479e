import type { ApiBackend, DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { KhwError } from "../../proto/errors.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import type { ReleaseFindings } from "../release/removed-apis.ts";

const apiServer = "kube-apiserver";
const flag = "enable-aggregator-routing";

export interface AggregationOptions {
  readonly admin: AdminCredentials;
  readonly signal: AbortSignal;
}

/**
 * Finds the active webhooks and APIServices that a change of the aggregation layer would make unreachable. An
 * unreachable webhook would block requests. Checks a node's backends only if the layer changes on that node. Does not
 * check backends if the user sets the routing with a flag in khw.yaml. If another API server answers, a silent API
 * server causes only a warning. One answer is enough, because webhooks belong to the whole cluster. The change may also
 * be necessary to repair the silent API server.
 * @param restarting the nodes that restart and have a ready API server
 */
export async function aggregationFindings(
  restarting: readonly NodeWork[],
  { admin: { ca, certificate, key }, signal }: AggregationOptions,
): Promise<ReleaseFindings> {
  const answers = await forEachNode(restarting, maxConcurrentNodes, async (node, { desired }) => {
    const wanted = wantedRouting(desired);
    if (wanted === undefined) return undefined;
    const { components } = await node.hardening(signal);
    const running = components.find(({ name }) => name === apiServer);
    if (running === undefined || running.arguments.includes(`--${flag}=true`) === wanted) return undefined;
    const backends = await node.probeBackends({ ca, certificate, key }, signal);
    return backends
      .flatMap((backend) => findingOf(backend, { wanted }) ?? [])
      .map((found) => found.at({ node: node.address.name }));
  });
  signal.throwIfAborted();
  const found = answers.flatMap(({ value }) => value ?? []);
  const errors = answers.flatMap(({ error }) => (error === undefined || isUnknownCall(error) ? [] : [error]));
  const answered = answers.some(({ value }) => value !== undefined);
  const silent = answered ? errors.filter(({ code }) => code === "UNREACHABLE") : [];
  return {
    obstacles: [...found, ...errors.filter((error) => !silent.includes(error))],
    warnings: silent.map(notAsked),
  };
}

function notAsked({ node, message }: KhwError): KhwError {
  return new KhwError("PREFLIGHT_FAILED", `the webhooks and APIServices were not tested from this node: ${message}`, {
    node,
    hint: "after the change, run `khw-client doctor`, which names a missing route or firewall rule",
  });
}

/** Whether the API server will connect directly to endpoints; undefined if a flag in khw.yaml determines this. */
function wantedRouting({ flags, credentials }: DesiredState): boolean | undefined {
  const { set = {}, remove = [] } = flags[apiServer] ?? {};
  if (set[flag] !== undefined || remove.includes(flag)) return undefined;
  return credentials.some(({ name }) => name === "front-proxy-ca.pem");
}

/**
 * Returns an error if the change makes a backend unreachable. If the layer is added, a backend without a ready
 * endpoint is ignored, because it fails both before and after the change.
 */
function findingOf(
  { kind, name, service, required, endpoints }: ApiBackend,
  { wanted }: { readonly wanted: boolean },
): KhwError | undefined {
  if (!required) return undefined;
  const subject = `the ${kind} ${name} would become unreachable`;
  if (!wanted) {
    const why = `without the aggregation layer, the API server connects to the address of the service ${service}, which needs kube-proxy on the controller`;
    return new KhwError("PREFLIGHT_FAILED", `${subject}: ${why}`, {
      hint: `keep aggregation: true in khw.yaml, or first delete the ${kind}`,
    });
  }
  const failed = endpoints.find(({ failure }) => failure !== "");
  if (failed === undefined) return undefined;
  const why = `with the aggregation layer, the API server connects to ${failed.address}:${failed.port}, which does not answer (${failed.failure})`;
  return new KhwError("PREFLIGHT_FAILED", `${subject}: ${why}`, {
    hint: `run \`khw-client doctor\`, which names a missing route or firewall rule; or first delete the ${kind}`,
  });
}
