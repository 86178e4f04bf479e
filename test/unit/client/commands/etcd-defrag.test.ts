import t from "tap";
import type { Member } from "../../../../client/cluster/open.ts";
import { defragMembers } from "../../../../client/commands/etcd-defrag.ts";
import { EtcdMember } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { unusedEtcd } from "../../../fakes/etcd-calls.ts";
import { never } from "../../../fixtures/machine.ts";

/**
 * Creates a cluster of three members with the given changes. The first member is the leader. Records the order in which
 * members are defragmented.
 */
async function cluster(changes: Readonly<Record<string, Partial<EtcdMember>>> = {}) {
  const { members: plain } = await createFakeCluster(["controller-0", "controller-1", "controller-2"]);
  const done: string[] = [];
  const members = plain.map(({ node, ...rest }): Member => {
    const { name } = node.address;
    const sizes = { dbSize: 100, dbSizeInUse: 30 };
    const common = { memberId: name, clusterId: "c", leaderId: "controller-0" };
    const member = EtcdMember.fromPartial({ ...common, ...sizes, ...changes[name] });
    const etcd = {
      ...unusedEtcd,
      status: async () => ({ member, reason: "", restore: undefined }),
      defragment: async () => {
        done.push(name);
        return { sizeBefore: 100, sizeAfter: 30, durationMillis: 5 };
      },
    };
    return { ...rest, node: { ...node, etcd } };
  });
  const run = (threshold = 50, signal = never): Promise<number> => {
    const context = { write: () => {}, warn: () => {}, terminal: false, env: {}, signal };
    return defragMembers(members, context, { output: "text", threshold });
  };
  return { done, run };
}

t.test("members are defragmented one at a time, with the leader last", async (t) => {
  const { done, run } = await cluster();
  t.equal(await run(), 0);
  t.same(done, ["controller-1", "controller-2", "controller-0"]);
});

t.test("only members with enough unused space are defragmented", async (t) => {
  const { done, run } = await cluster({ "controller-1": { dbSizeInUse: 60 } });
  t.equal(await run(), 0);
  t.same(done, ["controller-2", "controller-0"]);
  t.equal(await run(90), 0);
  t.equal(done.length, 2);
});

t.test(
  "no member is defragmented while a member is unhealthy, unless that member is merely out of space",
  async (t) => {
    const ill = await cluster({ "controller-2": { errors: ["memberID:1 alarm:CORRUPT"] } });
    await t.rejects(ill.run(), { code: "ETCD_UNHEALTHY", message: /CORRUPT/ });
    t.same(ill.done, []);
    const full = await cluster({ "controller-2": { errors: ["memberID:1 alarm:NOSPACE"] } });
    t.equal(await full.run(), 0);
    t.equal(full.done.length, 3);
  },
);

t.test("Ctrl-C skips the members that have not been defragmented yet", async (t) => {
  const { done, run } = await cluster();
  t.equal(await run(50, AbortSignal.abort()), 130);
  t.same(done, []);
});
