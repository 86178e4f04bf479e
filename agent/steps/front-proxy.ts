import { aggregationCredentialNames } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, kubernetesFolder } from "../paths.ts";
import { kubeApiserverFlags } from "../render/kube-apiserver.ts";

/**
 * Removes the files of the aggregation layer once the API server runs without the layer. A file that the API server
 * reads because of a flag in khw.yaml stays.
 */
export function frontProxyIsGone(desired: DesiredState): Step<Os> {
  const flags = kubeApiserverFlags(desired);
  const unused = aggregationCredentialNames
    .map(credentialFile)
    .filter((path) => !flags.some(([, value]) => value.includes(path)));
  const left = async (files: Files): Promise<string[]> => {
    const found = await Promise.all(unused.map(async (path) => [path, await files.stat(path)] as const));
    return found.flatMap(([path, facts]) => (facts === undefined ? [] : [path]));
  };
  return {
    id: "front-proxy",
    title: "the files of the aggregation layer do not exist",
    needs: ["service/kube-apiserver"],
    watches: [kubernetesFolder],
    check: async ({ files }) => {
      const paths = await left(files);
      return paths.length === 0 ? null : { summary: `${paths.join(", ")} exist without the aggregation layer` };
    },
    apply: async ({ files }) => {
      for (const path of await left(files)) await files.remove(path);
    },
  };
}
