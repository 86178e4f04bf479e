import { aggregationCredentialNames, type CredentialName, signingCredentialNames } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, kubernetesFolder } from "../paths.ts";
import { kubeApiserverFlags } from "../render/kube-apiserver.ts";
import { kubeControllerManagerFlags } from "../render/kube-controller-manager.ts";

/** Removes the files of the aggregation layer once the API server runs without the layer. */
export function frontProxyIsGone(desired: DesiredState): Step<Os> {
  return unused(desired, {
    id: "front-proxy",
    owner: "the aggregation layer",
    names: aggregationCredentialNames,
    needs: ["service/kube-apiserver"],
  });
}

/**
 * Removes the files of a signing CA once no component uses these files. A replacement of the cluster's CA uses such files
 * for a while.
 */
export function signingCaIsGone(desired: DesiredState): Step<Os> {
  return unused(desired, {
    id: "signing-ca",
    owner: "a signing CA",
    names: signingCredentialNames,
    needs: ["service/kube-apiserver", "service/kube-controller-manager"],
  });
}

interface Unused {
  readonly id: string;
  /** The part of the cluster that the files belong to. */
  readonly owner: string;
  readonly names: readonly CredentialName[];
  readonly needs: readonly string[];
}

/** Removes these files. A file that a component reads because of a flag in khw.yaml stays. */
function unused(desired: DesiredState, { id, owner, names, needs }: Unused): Step<Os> {
  const flags = [...kubeApiserverFlags(desired), ...kubeControllerManagerFlags(desired)];
  const paths = names.map(credentialFile).filter((path) => !flags.some(([, value]) => value.includes(path)));
  const left = async (files: Files): Promise<string[]> => {
    const found = await Promise.all(paths.map(async (path) => [path, await files.stat(path)] as const));
    return found.flatMap(([path, facts]) => (facts === undefined ? [] : [path]));
  };
  return {
    id,
    title: `the files of ${owner} do not exist`,
    needs,
    watches: [kubernetesFolder],
    check: async ({ files }) => {
      const found = await left(files);
      return found.length === 0 ? null : { summary: `${found.join(", ")} exist without ${owner}` };
    },
    apply: async ({ files }) => {
      for (const path of await left(files)) await files.remove(path);
    },
  };
}
