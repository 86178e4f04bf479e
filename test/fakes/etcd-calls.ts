import type { EtcdCalls } from "../../client/cluster/etcd-client.ts";

const unused = (): never => {
  throw new Error("not asked for");
};

/** Of a node that nobody asks about etcd. */
export const unusedEtcd: EtcdCalls = {
  status: unused,
  save: unused,
  list: unused,
  verify: unused,
  read: unused,
  write: unused,
  advance: unused,
  defragment: unused,
};
