import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { waitFor } from "../../proto/wait-for.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import { openPublicApi } from "../verify/verification.ts";
import { applyReview } from "./apply.ts";
import type { Manifest } from "./object.ts";
import { type ApplyOptions, reviewManifests } from "./review.ts";

const intervalMillis = 1000;

/** The cluster's public address, and the administrator's credentials. */
export interface PublicApi {
  readonly publicAddress: string;
  readonly admin: AdminCredentials;
}

/**
 * Applies the folder through the public address, with the administrator's kubeconfig. The agents are not involved, and
 * do not receive the kubeconfig. Returns the errors. Sends no request if there is no folder.
 */
export async function applyManifests(
  manifests: readonly Manifest[] | undefined,
  target: PublicApi,
  { waitMillis, ...options }: ApplyOptions & { readonly waitMillis: number },
): Promise<KhwError[]> {
  if (manifests === undefined) return [];
  const api = openPublicApi(target);
  try {
    await untilReady(api, { waitMillis, signal: options.signal });
    const errors = await applyReview(api, await reviewManifests(api, manifests, options), options);
    return errors.map((error) => error.at({ step: "manifests" }));
  } catch (thrown) {
    return [toKhwError(thrown).at({ step: "manifests" })];
  }
}

/** After a cluster's first start, the load balancer needs a few seconds before it uses the API servers. */
async function untilReady(
  api: KubernetesApi,
  { waitMillis, signal }: { readonly waitMillis: number; readonly signal: AbortSignal },
): Promise<void> {
  await waitFor<true>({
    what: "the folder was not applied, because the API server is not ready",
    check: async () => {
      try {
        const { status } = await api("GET", "/readyz", { signal });
        return status === 200 ? { reached: true } : { seen: `status ${status}` };
      } catch (thrown) {
        signal.throwIfAborted();
        return { seen: toKhwError(thrown).message };
      }
    },
    deadlineMillis: waitMillis,
    intervalMillis,
    signal,
  });
}
