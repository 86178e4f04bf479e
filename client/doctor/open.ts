import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";

/** What could be opened, and why it is not the whole. */
export interface Opened {
  readonly cluster?: OpenCluster;
  readonly error?: KhwError;
}

/** The cluster; without the Compute API still the nodes whose addresses are given. */
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
