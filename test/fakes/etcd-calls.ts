import type { EtcdCalls } from "../../client/cluster/etcd-client.ts";
import type { RemovalCalls } from "../../client/cluster/removal-client.ts";

const unused = (): never => {
  throw new Error("not called in this test");
};

/** A node's etcd calls, which all throw an error. For tests that do not use etcd. */
export const unusedEtcd: EtcdCalls = {
  status: unused,
  save: unused,
  list: unused,
  verify: unused,
  read: unused,
  write: unused,
  advance: unused,
  defragment: unused,
  join: unused,
};

/** The calls that remove a node, which all throw an error. For tests that do not remove nodes. */
export const unusedRemoval: RemovalCalls = { reset: unused, uninstall: unused, removeEtcdMember: unused };
