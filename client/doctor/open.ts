import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";

/** The parts of the cluster that could be opened, and the error that explains any missing parts. */
export interface Opened {
  readonly cluster?: OpenCluster;
  readonly error?: KhwError;
}

/** Opens the cluster. If the Compute API is unavailable, opens only the nodes with configured addresses. */
export async function openAnyway(config: ClusterConfig, signal: AbortSignal): Promise<Opened> {
  const begin = async (settings: ClusterConfig): Promise<OpenCluster> =>
    openCluster(settings, signal, { greet: false });
  try {
    return { cluster: await begin(config) };
  } catch (thrown) {
    signal.throwIfAborted();
    const error = toKhwError(thrown);
    if (config.loadBalancer === "none") return { error };
    const cluster = await begin({ ...config, loadBalancer: "none" }).catch(() => undefined);
    return cluster === undefined ? { error } : { error, cluster };
  }
}
