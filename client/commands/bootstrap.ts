import { refuseNoNodes } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote } from "../progress/progress.ts";
import type { Context } from "../terminal/context.ts";
import { bootstrapNodes, type BootstrapNodesOptions } from "./bootstrap-nodes.ts";

export interface BootstrapOptions extends Required<Omit<BootstrapNodesOptions, "joining">> {
  readonly output: Output;
}

/**
 * Turns the nodes into a control plane behind a load balancer, and verifies it. Returns exit code 0 or 130, or throws
 * an error.
 */
export async function bootstrap(config: ClusterConfig, context: Context, asked: BootstrapOptions): Promise<number> {
  refuseNoNodes(config);
  const { output, ...consent } = asked;
  const { signal } = context;
  const progress = await openProgress(output, context);
  const publicAddress = await bootstrapNodes(config, { progress, signal }, { ...consent, joining: "add" });
  if (publicAddress === undefined) return 130;
  finalNote(progress, `the control plane answers at https://${publicAddress}:6443`);
  return 0;
}
