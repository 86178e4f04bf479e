import type { InspectApiResponse, Kubelet } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi, KubernetesLines } from "../../proto/kubernetes-api.ts";
import { readDeadBackends } from "./dead-backends.ts";
import { readMetrics } from "./metrics.ts";
import { field, readAll, textField } from "./objects.ts";

/**
 * Functions that read from an API server. `api` returns objects; `lines` returns lines of text, without a size limit.
 */
export interface ApiReaders {
  readonly api: KubernetesApi;
  readonly lines: KubernetesLines;
}

/**
 * Returns all facts from the API that can rule out a change to another Kubernetes release.
 * @throws KhwError UNREACHABLE if there is no response; VERIFY_FAILED if the API server refuses a request
 */
export async function inspectApi({ api, lines }: ApiReaders, signal: AbortSignal): Promise<InspectApiResponse> {
  const [kubelets, metrics, deadBackends] = await Promise.all([
    readKubelets(api, signal),
    readMetrics(lines("/metrics", { signal })),
    readDeadBackends(api, signal),
  ]);
  return { kubelets, deadBackends, ...metrics };
}

/** Returns the kubelets' versions, as the Node objects report them. */
async function readKubelets(api: KubernetesApi, signal: AbortSignal): Promise<Kubelet[]> {
  const nodes = await readAll(api, "/api/v1/nodes", signal);
  return nodes.map((node) => ({
    node: textField(field(node, "metadata"), "name"),
    version: textField(field(field(node, "status"), "nodeInfo"), "kubeletVersion"),
  }));
}
