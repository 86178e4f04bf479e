import { KhwError } from "../../proto/errors.ts";
import { type EtcdPlace, isManaged } from "../config/desired.ts";
import { type NodeSpec, parseNodes } from "../config/nodes.ts";
import type { ClusterConfig } from "../config/schema.ts";

/** A controller and its successor, and the lists of nodes during and after the replacement. */
export interface Pair {
  readonly old: string;
  readonly successor: string;
  /** The nodes while both controllers are in the cluster. */
  readonly both: readonly NodeSpec[];
  /** The nodes afterwards. */
  readonly after: readonly NodeSpec[];
  /** Whether the configuration lists the old controller. */
  readonly isListed: boolean;
}

/**
 * Returns the lists of nodes. The configuration may already list the successor instead of the old controller.
 * @throws KhwError INVALID_ARGUMENT
 */
export function pairNodes(
  config: Pick<ClusterConfig, "nodes"> & EtcdPlace,
  { node, successor: text }: { readonly node: string; readonly successor: string },
): Pair {
  const { nodes } = config;
  if (!isManaged(config))
    throw new KhwError("INVALID_ARGUMENT", "a replacement needs an etcd that khw manages, but etcd runs elsewhere", {
      hint: "add the new member to etcd, run `khw-client bootstrap` with both nodes, and then `khw-client remove NODE`",
    });
  const [old, successor] = [oneNode("node", node), oneNode("--with", text)];
  if (old.name === successor.name)
    throw new KhwError("INVALID_ARGUMENT", `${old.name} cannot replace itself`, {
      hint: "if the machine is new, but has the same name and internal address, run `khw-client bootstrap`; otherwise give it another name",
    });
  const listed = nodes.find(({ name }) => name === old.name);
  const present = nodes.find(({ name }) => name === successor.name);
  if (listed !== undefined && present !== undefined)
    throw new KhwError("INVALID_ARGUMENT", `${successor.name} is already in the list of nodes`, {
      hint: `list only the controllers that the cluster has now; or, to remove ${old.name} without a replacement, run \`khw-client remove ${old.name}\``,
    });
  if (!nodes.some(({ name }) => name !== old.name && name !== successor.name) && listed === undefined)
    throw new KhwError("INVALID_ARGUMENT", "the list of nodes has no controller that stays", {
      hint: "list all controllers of the cluster in khw.yaml or --nodes",
    });
  const after = [...nodes.filter(({ name }) => name !== old.name), ...(present === undefined ? [successor] : [])];
  return {
    old: old.name,
    successor: successor.name,
    both: listed === undefined ? [...after, old] : [...nodes, successor],
    after,
    isListed: listed !== undefined,
  };
}

function oneNode(field: string, text: string): NodeSpec {
  const [node, ...others] = parseNodes(field, text);
  if (node !== undefined && others.length === 0) return node;
  throw new KhwError("INVALID_ARGUMENT", `${field}: expected one node`, {
    hint: "replace one controller at a time, for example `khw-client replace controller-2 --with controller-3`",
  });
}
