import type { Kubelet } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { field, readAll, textField } from "./objects.ts";

/** Returns the kubelets' versions, as the Node objects report them. */
export async function readKubelets(api: KubernetesApi, signal: AbortSignal): Promise<Kubelet[]> {
  const nodes = await readAll(api, "/api/v1/nodes", signal);
  return nodes.map((node) => ({
    node: textField(field(node, "metadata"), "name"),
    version: textField(field(field(node, "status"), "nodeInfo"), "kubeletVersion"),
  }));
}
