import t from "tap";
import { checkRemaining, findMembers } from "../../../../client/remove/membership.ts";
import type { NodeEtcd } from "../../../../client/etcd/overview.ts";
import { splitNodes } from "../../../../client/remove/open.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { parseNodes } from "../../../../client/config/nodes.ts";
import { EtcdMember, EtcdPeer, GetEtcdStatusResponse } from "../../../../proto/gen/khw/agent/v1/etcd.ts";

const controllers = [0, 1, 2, 3, 4].map((number) => ({
  name: `controller-${number}`,
  internalIp: `10.240.0.1${number}`,
}));
const peers = controllers.map(({ name, internalIp }, index) =>
  EtcdPeer.fromPartial({ memberId: `a${index}`, name, peerUrls: [`https://${internalIp}:2380`] }),
);

/** Returns a controller's response in a cluster with this many members. */
function answer(index: number, count: number, { leaderId = "a0" } = {}): NodeEtcd {
  const { name = "" } = controllers[index] ?? {};
  const member = EtcdMember.fromPartial({
    clusterId: "c",
    memberId: `a${index}`,
    name,
    leaderId,
    members: peers.slice(0, count),
  });
  return { node: name, status: GetEtcdStatusResponse.fromPartial({ member }) };
}

function silent(index: number): NodeEtcd {
  return { node: controllers[index]?.name ?? "", status: GetEtcdStatusResponse.fromPartial({ reason: "refused" }) };
}

t.test("a removal is refused unless the remaining members have a quorum on their own", async (t) => {
  const of = { name: "controller-2", controllers: controllers.slice(0, 2) };
  t.match(checkRemaining([answer(0, 3), answer(1, 3)], of), { leaving: { name: "controller-2" }, voters: 2 });
  t.throws(() => checkRemaining([answer(0, 3), silent(1)], of), {
    code: "WOULD_INTERRUPT",
    message: "etcd would lose its quorum: 1 of the 2 remaining members is healthy, but 2 are needed",
  });
  t.throws(() => checkRemaining([answer(0, 3, { leaderId: "" }), silent(1)], of), {
    code: "WOULD_INTERRUPT",
    message: /etcd has no quorum/,
  });
  const four = { name: "controller-4", controllers: controllers.slice(0, 4) };
  t.equal(checkRemaining([answer(0, 5), answer(1, 5), answer(2, 5), silent(3)], four).voters, 4);
  t.throws(() => checkRemaining([answer(0, 5), answer(1, 5), silent(2), silent(3)], four), {
    message: /2 of the 4 remaining members are healthy, but 3 are needed/,
  });
});

t.test("a controller can be removed even if its member has already left etcd", async (t) => {
  const of = { name: "controller-2", controllers: controllers.slice(0, 2) };
  t.match(checkRemaining([answer(0, 2), answer(1, 2)], of), { leaving: undefined, voters: 2 });
});

t.test("until the successor has joined, the response of the only controller is sufficient", async (t) => {
  const notEnrolled: NodeEtcd = { node: "controller-1", error: new KhwError("NOT_ENROLLED", "it waits") };
  const { leaving, staying } = findMembers([answer(0, 1), notEnrolled], "controller-0");
  t.match([leaving, staying], [{ name: "controller-0" }, { length: 0 }]);
  t.throws(() => findMembers([answer(0, 1, { leaderId: "" }), silent(1)], "controller-0"), {
    code: "WOULD_INTERRUPT",
    message: "etcd has no quorum: none of the 2 nodes has a leader",
  });
});

t.test(
  "the list of members is read from another controller, because a removed member has an outdated list",
  async (t) => {
    t.match(findMembers([answer(2, 3), answer(0, 2)], "controller-2"), { leaving: undefined, staying: { length: 2 } });
    t.match(findMembers([silent(0), answer(2, 3)], "controller-2"), { leaving: { name: "controller-2" } });
  },
);

t.test("a member that is not among the listed controllers is refused, and the error names the member", async (t) => {
  const of = { name: "controller-2", controllers: controllers.slice(0, 2) };
  t.throws(() => checkRemaining([answer(0, 4), answer(1, 4)], of), {
    code: "ETCD_CONFLICT",
    message: /not among the remaining controllers: controller-3/,
  });
});

t.test("a new controller's learner does not count as foreign, but a voting member does", async (t) => {
  const of = { name: "controller-2", controllers: controllers.slice(0, 2), learner: controllers[3] };
  const nodes = (learner: boolean) => {
    const members = peers.slice(0, 4).map((peer, index) => ({ ...peer, learner: learner && index === 3 }));
    return [0, 1].map((index): NodeEtcd => {
      const { node, status } = answer(index, 4);
      return { node, status: GetEtcdStatusResponse.fromPartial({ member: { ...status?.member, members } }) };
    });
  };
  t.match(checkRemaining(nodes(true), of), { leaving: { name: "controller-2" }, voters: 2 });
  t.throws(() => checkRemaining(nodes(false), of), { code: "ETCD_CONFLICT", message: /controller-3/ });
  t.throws(() => checkRemaining(nodes(true), { ...of, learner: undefined }), { code: "ETCD_CONFLICT" });
});

t.test("the removed node may be missing from the list of nodes, but another node must remain", async (t) => {
  const nodes = parseNodes("nodes", "controller-0,1,2=192.0.2.7");
  t.match(splitNodes({ nodes }, "controller-2"), { leaving: { host: "192.0.2.7" }, rest: { length: 2 } });
  t.match(splitNodes({ nodes }, "controller-3=192.0.2.8"), { leaving: { host: "192.0.2.8" }, rest: { length: 3 } });
  t.throws(() => splitNodes({ nodes }, "controller-1,2"), {
    code: "INVALID_ARGUMENT",
    message: /one node can be removed at a time/,
  });
  t.throws(() => splitNodes({ nodes: nodes.slice(0, 1) }, "controller-0"), {
    code: "INVALID_ARGUMENT",
    hint: /khw-client reset --all/,
  });
});

t.test(
  "a controller whose learner has never started can be removed, although etcd does not know its name",
  async (t) => {
    const of = { name: "controller-3", controllers: controllers.slice(0, 3) };
    const nodes = (unstarted: readonly number[]) =>
      [0, 1, 2].map((index): NodeEtcd => {
        const { node, status } = answer(index, 3);
        const learners = unstarted.flatMap((number) => ({ ...peers[number], name: "", learner: true }));
        const members = [...peers.slice(0, 3), ...learners];
        return { node, status: GetEtcdStatusResponse.fromPartial({ member: { ...status?.member, members } }) };
      });
    t.match(checkRemaining(nodes([3]), of), { leaving: { memberId: "a3" }, voters: 3 });
    t.match(checkRemaining(nodes([3]), { ...of, internalIp: "10.240.0.13" }), { leaving: { memberId: "a3" } });
    const conflict = { code: "ETCD_CONFLICT" };
    t.throws(() => checkRemaining(nodes([3]), { ...of, internalIp: "10.240.0.99" }), conflict);
    t.throws(() => checkRemaining(nodes([3, 4]), of), conflict, "khw does not guess which learner is meant");
    t.match(checkRemaining(nodes([3]), { ...of, learner: controllers[3] }), { leaving: undefined });
  },
);
