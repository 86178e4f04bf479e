import type { ApiBackend, DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { KhwError } from "../../proto/errors.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import type { AdminCredentials } from "../pki/check/read.ts";

const apiServer = "kube-apiserver";
const flag = "enable-aggregator-routing";

export interface AggregationOptions {
  readonly admin: AdminCredentials;
  readonly signal: AbortSignal;
}

/**
 * Finds the webhooks and APIServices in use that a change of the aggregation layer would make unreachable. Such a webhook
 * would block requests. Asks only nodes whose API server restarts, and asks for backends only if the layer changes there.
 * A flag of khw.yaml for the routing is a decision of the user's own, so the backends are then not checked.
 */
export async function aggregationFindings(
  restarting: readonly NodeWork[],
  { admin: { ca, certificate, key }, signal }: AggregationOptions,
): Promise<KhwError[]> {
  const answers = await forEachNode(restarting, maxConcurrentNodes, async (node, { desired }) => {
    const wanted = wantedRouting(desired);
    if (wanted === undefined) return [];
    const { components } = await node.hardening(signal);
    const running = components.find(({ name }) => name === apiServer);
    if (running === undefined || running.arguments.includes(`--${flag}=true`) === wanted) return [];
    const backends = await node.probeBackends({ ca, certificate, key }, signal);
    return backends
      .flatMap((backend) => findingOf(backend, { wanted }) ?? [])
      .map((found) => found.at({ node: node.address.name }));
  });
  signal.throwIfAborted();
  return answers.flatMap(({ value, error }) => value ?? (error === undefined || isUnknownCall(error) ? [] : [error]));
}

/** Returns whether the API server will connect to endpoints; undefined if a flag of khw.yaml decides. */
function wantedRouting({ flags, credentials }: DesiredState): boolean | undefined {
  const { set = {}, remove = [] } = flags[apiServer] ?? {};
  if (set[flag] !== undefined || remove.includes(flag)) return undefined;
  return credentials.some(({ name }) => name === "front-proxy-ca.pem");
}

/** A backend without a ready endpoint fails with and without the layer, so it is no reason to refuse the change. */
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
