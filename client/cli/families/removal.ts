import { Argument, Option } from "commander";
import { refuse } from "../../../proto/validate.ts";
import type { Call, CommandSpec } from "../command.ts";
import { desired, rotating } from "./settings.ts";

/** Commands that take controllers out of a cluster, or undo a bootstrap. */
export const removalCommands: readonly CommandSpec[] = [
  {
    path: ["remove"],
    summary: "remove a controller from its cluster, and reset its machine",
    details:
      "Checks first that etcd and the API work without the controller; otherwise, nothing is done. Then drains the controller, takes it out of the target pool, updates the other controllers one at a time, removes its etcd member, and resets its machine. With --dead, the machine is not contacted, and the certificate of its agent is revoked. If the command is interrupted, run the same command again. Afterwards, take the node out of khw.yaml and --nodes.",
    examples: ["khw-client remove controller-2 --nodes controller-0,1,2", "khw-client remove controller-2 --dead"],
    arguments: [new Argument("<node>", "a node of the cluster, for example controller-2")],
    settings: [...desired, "timeouts"],
    options: [
      new Option("--dead", "do not contact the machine, because it will not return"),
      new Option("--purge", "remove the machine's logs and snapshots, too"),
      new Option("--uninstall", "remove the agent's package from the machine at the end"),
    ],
    run: async (call) => {
      const { remove } = await import("../../commands/remove.ts");
      const [node = ""] = call.arguments;
      return remove(await call.config(), call.context, { output: call.output, node, ...removalOf(call) });
    },
  },
  {
    path: ["replace"],
    summary: "replace a controller with a machine that has another name",
    details:
      "Adds the new controller as bootstrap does, then removes the old one and resets its machine as remove does. With --dead, the old machine is not contacted, and is removed first, because etcd accepts no new member while another member is unhealthy. Everything is checked before anything changes. If the command is interrupted, run the same command again. Afterwards, list the new controller in khw.yaml and --nodes instead of the old one.",
    examples: [
      "khw-client replace controller-2 --with controller-3 --nodes controller-0,1,2",
      "khw-client replace controller-2 --with controller-3 --dead",
    ],
    arguments: [new Argument("<node>", "a node of the cluster, for example controller-2")],
    settings: [...desired, "timeouts"],
    options: [
      new Option("--with <node>", "the new controller, for example controller-3").makeOptionMandatory(),
      new Option("--dead", "do not contact the old machine, because it will not return"),
      new Option("--purge", "remove the old machine's logs and snapshots, too"),
      new Option("--uninstall", "remove the agent's package from the old machine at the end"),
    ],
    run: async (call) => {
      const { replace } = await import("../../commands/replace.ts");
      const [node = ""] = call.arguments;
      const options = { output: call.output, node, successor: call.text("with"), ...removalOf(call) };
      return replace(await call.config(), call.context, options);
    },
  },
  {
    path: ["reset"],
    summary: "return nodes to their state before bootstrap",
    details:
      "Stops the services, and removes everything that khw has put on the nodes. nginx is removed too, if khw has installed it and no other site uses it. The agent's package and identity stay, and so do logs and snapshots. Nodes are reset one at a time, and each node is drained before its reset. Nothing is done if etcd would lose its quorum, or if no other node would be left to serve traffic. With --all, a verified snapshot of etcd is saved in the current folder first, the load balancer is deleted, and all nodes are reset at once. If the command is interrupted, run the same command again.",
    examples: ["khw-client reset controller-2 --nodes controller-0,1,2", "khw-client reset --all --yes kubernetes"],
    arguments: [new Argument("[node...]", "nodes of the cluster, for example controller-0,1")],
    settings: [...rotating, "cluster.name", "credentials.folder"],
    options: [
      new Option("--all", "reset every node, and delete the load balancer"),
      new Option("--yes <cluster>", "the cluster's name, which confirms --all"),
      new Option("--purge", "remove logs and snapshots, too"),
      new Option("--uninstall", "remove the agent's package at the end; with --purge, its identity, too"),
      new Option("--without-snapshot", "with --all, save no snapshot; the data in etcd is lost"),
    ],
    run: async (call) => {
      const { reset } = await import("../../commands/reset.ts");
      return reset(await call.config(), call.context, {
        output: call.output,
        nodes: call.arguments,
        all: call.flag("all"),
        yes: call.text("yes"),
        purge: call.flag("purge"),
        uninstall: call.flag("uninstall"),
        withoutSnapshot: call.flag("withoutSnapshot"),
      });
    },
  },
];

/** Returns the options of a removal. */
function removalOf(call: Pick<Call, "flag">): {
  readonly dead: boolean;
  readonly purge: boolean;
  readonly uninstall: boolean;
} {
  const [dead, purge, uninstall] = [call.flag("dead"), call.flag("purge"), call.flag("uninstall")];
  if (dead && (purge || uninstall))
    refuse(purge ? "--purge" : "--uninstall", "cannot be used with --dead, because the machine is not contacted");
  return { dead, purge, uninstall };
}
