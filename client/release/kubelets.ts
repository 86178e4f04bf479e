import { KhwError } from "../../proto/errors.ts";
import type { Kubelet } from "../../proto/gen/khw/agent/v1/agent.ts";
import { kubeletSkew } from "../../proto/kubernetes-versions.ts";
import { kubernetesMinor } from "../../proto/release.ts";

/**
 * The oldest and the newest API server release that runs during a rolling update, with the leading "v".
 */
export interface ReleaseSpan {
  readonly oldest: string;
  readonly newest: string;
}

/**
 * Returns an error for each kubelet that does not work with every API server during a rolling update. A kubelet must be
 * neither newer than the oldest API server nor too old for the newest API server. Skips kubelets that never reported a
 * version.
 */
export function kubeletObstacles(kubelets: readonly Kubelet[], { oldest, newest }: ReleaseSpan): KhwError[] {
  return kubelets.flatMap(({ node, version }) => {
    const minor = kubernetesMinor(version);
    if (version === "") return [];
    const refusal = (message: string, hint: string): KhwError =>
      new KhwError("RELEASE_REFUSED", message, { node, hint });
    if (minor === undefined) {
      return refusal(
        `the version of its kubelet cannot be read: ${version}`,
        "install a released version of the kubelet on that node",
      );
    }
    if (minor > minorOf(oldest)) {
      return refusal(
        `its kubelet ${version} is newer than kube-apiserver ${oldest}`,
        "a kubelet must not be newer: update every controller first, or install an older kubelet",
      );
    }
    const skew = kubeletSkew(minor);
    if (minorOf(newest) - minor <= skew) return [];
    return refusal(
      `its kubelet ${version} is too old for kube-apiserver ${newest}`,
      `at most ${skew} minor releases are supported: update the kubelet to v1.${minorOf(newest) - skew} or later first`,
    );
  });
}

function minorOf(release: string): number {
  return kubernetesMinor(release) ?? 0;
}
