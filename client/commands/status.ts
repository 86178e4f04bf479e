import { selectNodes } from "../cluster/select-nodes.ts";
import { openCluster } from "../cluster/open.ts";
import { painter } from "../terminal/colour.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import type { OutputFormat } from "../terminal/output-format.ts";
import { statusDocument } from "../status/document.ts";
import { isWell } from "../status/problems.ts";
import { rotationFolders, rotationsUnderWay } from "../rotations/under-way.ts";
import { readCluster } from "../status/read.ts";
import type { ClusterState } from "../status/state.ts";
import { statusTables } from "../status/tables.ts";

export interface StatusOptions {
  readonly form: OutputFormat;
  /** The node arguments; if empty, all nodes. */
  readonly nodes: readonly string[];
  /** Whether to keep running until Ctrl-C. */
  readonly watch: boolean;
}

/**
 * Prints the current state of the machines, the components and the load balancer. Returns exit code 0 if there is no
 * problem, otherwise 1.
 */
export async function status(
  config: ClusterConfig,
  context: Context,
  { form, nodes, watch }: StatusOptions,
): Promise<number> {
  const { signal, write } = context;
  await using cluster = await openCluster(config, signal, { greet: false });
  const members = nodes.length === 0 ? cluster.members : selectNodes(cluster.members, nodes);
  if (watch) {
    const { watchStatus } = await import("../watch/watch.ts");
    await watchStatus({ members, cloud: cluster.cloud, form, context });
    return 0;
  }
  const [read, rotations] = await Promise.all([
    readCluster(members, cluster.cloud, signal),
    rotationsUnderWay(rotationFolders(config)),
  ]);
  const state = { ...read, rotations };
  signal.throwIfAborted();
  write(await describeState(state, form, context));
  return isWell(state) ? 0 : 1;
}

async function describeState(state: ClusterState, form: OutputFormat, context: Context): Promise<string> {
  switch (form) {
    case "json":
      return `${JSON.stringify(statusDocument(state), null, 2)}\n`;
    case "yaml": {
      const { stringify } = await import("yaml");
      return stringify(statusDocument(state), { aliasDuplicateObjects: false });
    }
    case "text":
    case "wide":
      return statusTables(state, { wide: form === "wide", paint: painter(context) });
  }
}
