import t from "tap";
import { parseNodes } from "../../../../client/config/nodes.ts";
import { readLive } from "../../../../client/replace/read-live.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { EtcdMember, EtcdPeer, GetEtcdStatusResponse } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { unusedEtcd } from "../../../fakes/etcd-calls.ts";
import { never } from "../../../fixtures/machine.ts";

const pair = { old: "controller-0", successor: "controller-1", after: parseNodes("nodes", "controller-1") };

/** Returns a controller and its successor. etcd has only the members with these names. */
async function twoMachines(names: readonly string[]) {
  const { members, cloud } = await createFakeCluster([pair.old, pair.successor]);
  const list = names.map((name) => EtcdPeer.fromPartial({ name }));
  const status = async (name: string) =>
    names.includes(name)
      ? GetEtcdStatusResponse.fromPartial({
          member: EtcdMember.fromPartial({ clusterId: "c", name, leaderId: "a", members: list }),
        })
      : GetEtcdStatusResponse.fromPartial({ reason: "refused" });
  return {
    cloud,
    members: members.map((member) => {
      const { name } = member.node.address;
      return { ...member, node: { ...member.node, etcd: { ...unusedEtcd, status: () => status(name) } } };
    }),
  };
}

t.test("until the successor has joined, the response of a single live controller is sufficient", async (t) => {
  t.equal(await readLive(await twoMachines(["controller-0"]), pair, never), "add");
  t.equal(
    await readLive(await twoMachines(["controller-0", "controller-1"]), pair, never),
    "add",
    "the new member is still being added while the old node is not drained",
  );
  t.equal(
    await readLive(await twoMachines(["controller-1"]), pair, never),
    "remove",
    "only the removal remains once the old member has left etcd",
  );
});

t.test("the old controller must respond, but its successor need not be enrolled yet", async (t) => {
  const { members, cloud } = await twoMachines(["controller-0"]);
  const [old, successor] = members;
  if (old === undefined || successor === undefined) throw new Error("there are two machines");
  const waiting = { node: successor.node, error: new KhwError("NOT_ENROLLED", "it waits") };
  t.equal(await readLive({ members: [old, waiting], cloud }, pair, never), "add");
  const silent = { node: old.node, error: new KhwError("UNREACHABLE", "no answer") };
  await t.rejects(readLive({ members: [silent, successor], cloud }, pair, never), {
    code: "UNREACHABLE",
    hint: /add --dead/,
  });
});
