import { Argument, Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { reaching } from "./settings.ts";

/** The cluster's etcd. */
export const etcdCommands: readonly CommandSpec[] = [
  {
    path: ["etcd", "status"],
    summary: "show every member of etcd by its own account",
    details:
      "The exit code is 0 when all members answer, are of one cluster with one leader, and complain of nothing; else 1.",
    examples: ["khw-client etcd status --nodes controller-0,1,2", "khw-client etcd status -o json"],
    settings: reaching,
    run: async (call) => {
      const { etcdStatus } = await import("../../commands/etcd.ts");
      return etcdStatus(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["etcd", "snapshot"],
    summary: "take, list or verify snapshots of etcd on the nodes",
    details:
      "Every snapshot is proved before it counts: restored into a scratch folder, and its revision read there. save takes one on the node that is named, else on a follower; verify proves the one that is named, else the newest, anew on every node that has it.",
    examples: [
      "khw-client etcd snapshot save",
      "khw-client etcd snapshot list -o json",
      "khw-client etcd snapshot verify 20260131T120000Z-controller-0",
    ],
    arguments: [
      new Argument("<action>").choices(["save", "list", "verify"]),
      new Argument("[subject]", "for save a node, for verify a snapshot"),
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
    summary: "restore the whole cluster's etcd from a snapshot",
    details:
      "All nodes must answer. The snapshot is brought to each and proved there; then API servers and etcd are stopped on all, etcd's data replaced (those of before are kept aside on each node), etcd started on all, and Kubernetes after it. A restore that was interrupted, at whatever point, is gone on with by the same command.",
    examples: ["khw-client etcd restore --yes", "khw-client etcd restore ./snapshot.db --yes"],
    arguments: [
      new Argument("[snapshot]", "its name, or a file of this workstation as ./FILE").default("latest", "the newest"),
    ],
    settings: [...reaching, "timeouts.verify"],
    options: [new Option("--yes", "do it: what was written after the snapshot is gone from the cluster")],
    run: async (call) => {
      const { etcdRestore } = await import("../../commands/etcd-restore.ts");
      const [snapshot = "latest"] = call.arguments;
      return etcdRestore(await call.config(), call.context, { output: call.output, snapshot, yes: call.flag("yes") });
    },
  },
  {
    path: ["etcd", "defrag"],
    summary: "give back the room that etcd's databases do not use, one member at a time",
    details: "The leader is the last. Each member's turn comes only while all members are well.",
    examples: ["khw-client etcd defrag", "khw-client etcd defrag --threshold 0"],
    settings: reaching,
    options: [new Option("--threshold <percent>", "only members with so much of their database unused").default("50")],
    run: async (call) => {
      const { etcdDefrag } = await import("../../commands/etcd-defrag.ts");
      return etcdDefrag(await call.config(), call.context, { output: call.output, threshold: call.text("threshold") });
    },
  },
];
