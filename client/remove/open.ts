import { KhwError } from "../../proto/errors.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import { type NodeSpec, parseNodes } from "../config/nodes.ts";
import type { ClusterConfig } from "../config/schema.ts";

/** The cluster before and after the removal of a controller, and the controller itself. */
export interface Parting {
  readonly name: string;
  /** The current cluster. If the controller's machine is dead, the controller is not included. */
  readonly all: OpenCluster;
  /** The cluster after the removal. */
  readonly rest: OpenCluster;
  /** The controller; undefined if its machine is dead. */
  readonly leaving: Member | undefined;
}

/**
 * Returns the node to remove, and the other configured nodes. The node to remove may already be missing from the
 * configuration.
 * @throws KhwError INVALID_ARGUMENT
 */
export function splitNodes(
  { nodes }: Pick<ClusterConfig, "nodes">,
  text: string,
): { readonly leaving: NodeSpec; readonly rest: readonly NodeSpec[] } {
  const [named, ...others] = parseNodes("node", text);
  if (named === undefined || others.length > 0)
    throw new KhwError("INVALID_ARGUMENT", "only one node can be removed at a time", {
      hint: "run the command once for each node",
    });
  const rest = nodes.filter(({ name }) => name !== named.name);
  if (rest.length === 0)
    throw new KhwError("INVALID_ARGUMENT", `${named.name} is the only node, so no cluster would be left`, {
      hint: "list all controllers in khw.yaml or --nodes; to remove the whole cluster, run `khw-client reset --all`",
    });
  return { leaving: nodes.find(({ name }) => name === named.name) ?? named, rest };
}

/**
 * Opens the cluster, and separates the controller from the other nodes. Does not look up or contact a dead machine.
 */
export async function openParting(
  config: ClusterConfig,
  { node, dead, signal }: { readonly node: string; readonly dead: boolean; readonly signal: AbortSignal },
): Promise<Parting & AsyncDisposable> {
  const { leaving, rest } = splitNodes(config, node);
  const { name } = leaving;
  const opened = await openCluster({ ...config, nodes: dead ? rest : [...rest, leaving] }, signal);
  const stays = (other: { readonly name: string }): boolean => other.name !== name;
  const { cloud } = opened;
  return {
    name,
    all: opened,
    rest: {
      ...opened,
      config: { ...config, nodes: rest },
      members: opened.members.filter(({ node }) => stays(node.address)),
      instances: opened.instances.filter(stays),
      cloud: cloud && {
        ...cloud,
        loadBalancer: { ...cloud.loadBalancer, instances: cloud.loadBalancer.instances.filter(stays) },
      },
    },
    leaving: opened.members.find(({ node }) => !stays(node.address)),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}
