import { Argument, Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { reaching } from "./settings.ts";

/** Commands for the cluster's etcd. */
export const etcdCommands: readonly CommandSpec[] = [
  {
    path: ["etcd", "status"],
    summary: "show the state that each etcd member reports",
    details:
      "The exit code is 0 if all members answer, belong to one cluster with one leader, and report no alarm; otherwise it is 1.",
    examples: ["khw-client etcd status --nodes controller-0,1,2", "khw-client etcd status -o json"],
    settings: reaching,
    run: async (call) => {
      const { etcdStatus } = await import("../../commands/etcd.ts");
      return etcdStatus(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["etcd", "snapshot"],
    summary: "take, list or verify etcd snapshots on the nodes",
    details:
      "Every new snapshot is verified: it is restored into a scratch folder, and the restored revision is checked. With save, the given node takes a snapshot (default: a follower). With verify, every node that has the given snapshot checks it (default: the newest snapshot).",
    examples: [
      "khw-client etcd snapshot save",
      "khw-client etcd snapshot list -o json",
      "khw-client etcd snapshot verify 20260131T120000Z-controller-0",
    ],
    arguments: [
      new Argument("<action>").choices(["save", "list", "verify"]),
      new Argument("[subject]", "a node (for save), or a snapshot (for verify)"),
    ],
    settings: reaching,
    run: async (call) => {
      const { snapshotList, snapshotSave, snapshotVerify } = await import("../../commands/etcd-snapshot.ts");
      const [action = "", subject = ""] = call.arguments;
      const options = { output: call.output, subject };
      const run = action === "save" ? snapshotSave : action === "verify" ? snapshotVerify : snapshotList;
      return run(await call.config(), call.context, options);
    },
  },
  {
    path: ["etcd", "restore"],
    summary: "restore etcd on all nodes from a snapshot",
    details:
      "All nodes must answer. The snapshot is copied to each node and verified there. Then the API servers and etcd are stopped on all nodes, etcd's data is replaced, and both are started again. Each node keeps its old data. If the restore is interrupted, run the same command again.",
    examples: ["khw-client etcd restore --yes", "khw-client etcd restore ./snapshot.db --yes"],
    arguments: [
      new Argument("[snapshot]", "a snapshot's name, or ./FILE for a file on this workstation").default(
        "latest",
        "the newest",
      ),
    ],
    settings: [...reaching, "timeouts.verify"],
    options: [new Option("--yes", "confirm that the cluster loses everything written after the snapshot")],
    run: async (call) => {
      const { etcdRestore } = await import("../../commands/etcd-restore.ts");
      const [snapshot = "latest"] = call.arguments;
      return etcdRestore(await call.config(), call.context, { output: call.output, snapshot, yes: call.flag("yes") });
    },
  },
  {
    path: ["etcd", "defrag"],
    summary: "release unused space in etcd's databases, one member at a time",
    details: "The leader comes last. A member is defragmented only while all members are healthy.",
    examples: ["khw-client etcd defrag", "khw-client etcd defrag --threshold 0"],
    settings: reaching,
    options: [
      new Option(
        "--threshold <percent>",
        "defragment only members whose database has at least this percentage of unused space",
      ).default("50"),
    ],
    run: async (call) => {
      const { etcdDefrag } = await import("../../commands/etcd-defrag.ts");
      return etcdDefrag(await call.config(), call.context, { output: call.output, threshold: call.text("threshold") });
    },
  },
];
