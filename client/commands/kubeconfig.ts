import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { readAdmin } from "../kubeconfig/admin.ts";
import { mergeKubeconfig } from "../kubeconfig/merge.ts";
import { keepPrivate, readKubeconfig, writeKubeconfig } from "../kubeconfig/write.ts";
import { findPublicAddressOf } from "../rollout/addresses.ts";

export interface KubeconfigOptions {
  /** The file to write to; if undefined, the first file in $KUBECONFIG, otherwise ~/.kube/config. */
  readonly file: string | undefined;
  /** The context's name; if undefined, the cluster's name. */
  readonly context: string | undefined;
  /** Whether to make the new context the current context. */
  readonly use: boolean;
}

/**
 * Configures kubectl on this workstation for administrator access through the public address (lab 10). Returns exit
 * code 0.
 */
export async function kubeconfig(
  config: ClusterConfig,
  { env, signal, write }: Context,
  { file, context, use }: KubeconfigOptions,
): Promise<number> {
  const { ca, certificate, key } = await readAdmin(config);
  const server = `https://${await findPublicAddressOf(config, signal)}:6443`;
  const name = context ?? config.cluster.name;
  const path = resolve(file ?? kubeconfigPath(env));
  const entry = {
    name,
    user: `${name}-admin`,
    server,
    ca: ca.toString("base64"),
    certificate: certificate.toString("base64"),
    key: key.toString("base64"),
  };
  const before = await readKubeconfig(path);
  const after = mergeKubeconfig(before, entry, { file: path, use });
  await (after === before ? keepPrivate(path) : writeKubeconfig(path, after));
  write(`${path}: context ${name} points to ${server} as admin${after === before ? ", unchanged" : ""}\n`);
  return 0;
}

/** Returns the file that kubectl writes to. This is the first file in $KUBECONFIG, which may contain empty items. */
function kubeconfigPath(env: Context["env"]): string {
  const first = (env["KUBECONFIG"] ?? "").split(delimiter).find((path) => path !== "");
  return first ?? join(env["HOME"] ?? homedir(), ".kube", "config");
}
