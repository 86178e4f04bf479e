import t from "tap";
import { parseNodes } from "../../../../client/config/nodes.ts";
import { nextPart, nextPartDead, presentNodes } from "../../../../client/replace/next-part.ts";
import { pairNodes } from "../../../../client/replace/pair.ts";
import { EtcdPeer } from "../../../../proto/gen/khw/agent/v1/etcd.ts";

const names = (nodes: readonly { readonly name: string }[]) => nodes.map(({ name }) => name.replace("controller-", ""));
const config = (nodes: string, mode?: "external") => ({
  nodes: parseNodes("nodes", nodes),
  etcd: { mode },
  cluster: { etcdServers: undefined },
});
const pair = (nodes: string, node = "controller-2", successor = "controller-3") =>
  pairNodes(config(nodes), { node, successor });

t.test("the successor is listed last, and the other nodes keep their order", async (t) => {
  const { both, after } = pair("controller-0,2,1", "controller-2", "controller-3=192.0.2.3:7000");
  t.strictSame(
    [names(both), names(after)],
    [
      ["0", "2", "1", "3"],
      ["0", "1", "3"],
    ],
  );
  t.match(after.at(-1), { name: "controller-3", host: "192.0.2.3", port: 7000 });
});

t.test("a list that already has the successor instead of the old controller is accepted", async (t) => {
  const { both, after, isListed } = pair("controller-3,0,1");
  t.strictSame([names(both), names(after), isListed], [["3", "0", "1", "2"], ["3", "0", "1"], false]);
});

t.test("neither a listed controller nor the old controller itself can be the successor", async (t) => {
  t.throws(() => pair("controller-0,1,2,3"), {
    code: "INVALID_ARGUMENT",
    message: "controller-3 is already in the list of nodes",
    hint: /khw-client remove controller-2/,
  });
  t.throws(() => pair("controller-0,1,2", "controller-2", "controller-1"), { message: /already in the list/ });
  t.throws(() => pair("controller-0,1,2", "controller-2", "controller-2"), {
    message: "controller-2 cannot replace itself",
    hint: /khw-client bootstrap/,
  });
  t.throws(() => pair("controller-0,1,2", "controller-1,2"), { message: "node: expected one node" });
  t.throws(() => pair("controller-0,1,2", "controller-2", ""), { code: "INVALID_ARGUMENT" });
  t.throws(() => pair("controller-3"), { message: "the list of nodes has no controller that stays" });
  const external = config("controller-0,1,2", "external");
  t.throws(() => pairNodes(external, { node: "controller-2", successor: "controller-3" }), {
    code: "INVALID_ARGUMENT",
    message: /needs an etcd that khw manages/,
  });
});

t.test("a single controller can be replaced while it is alive", async (t) => {
  const { both, after } = pair("controller-0", "controller-0", "controller-1");
  t.strictSame([names(both), names(after)], [["0", "1"], ["1"]]);
});

const standing = { oldIsMember: true, successorVotes: false, successorServes: false, oldIsDrained: false };

t.test("a live controller is removed only after its successor has started to serve", async (t) => {
  const of = pair("controller-0,1,2");
  for (const [found, part] of [
    [{}, "add"],
    [{ successorVotes: true }, "add"],
    [{ successorVotes: true, successorServes: true }, "add"],
    [{ successorVotes: true, oldIsDrained: true }, "add"],
    [{ oldIsDrained: true }, "add"],
    [{ successorVotes: true, successorServes: true, oldIsDrained: true }, "remove"],
    [{ successorVotes: true, oldIsMember: false }, "remove"],
  ] as const)
    t.equal(nextPart(of, { ...standing, ...found }), part, JSON.stringify(found));
  t.throws(() => nextPart(of, { ...standing, oldIsMember: false }), {
    code: "ETCD_CONFLICT",
    message: "controller-2 is not a controller of this cluster, so controller-3 cannot replace it",
    hint: /bootstrap --nodes controller-0,controller-1,controller-3/,
  });
});

t.test("a dead controller is removed first, and an unknown controller is refused", async (t) => {
  const of = pair("controller-0,1,2");
  t.equal(nextPartDead(of, { oldIsMember: true, isKnown: true }), "remove");
  t.equal(nextPartDead(of, { oldIsMember: false, isKnown: true }), "add");
  t.throws(() => nextPartDead(of, { oldIsMember: false, isKnown: false }), { code: "ETCD_CONFLICT" });
});

t.test(
  "during the removal of a dead controller, the list of nodes contains the successor only if the successor can vote",
  async (t) => {
    const of = pair("controller-0,1,2");
    const successor = { name: "controller-3", internalIp: "10.240.0.13" };
    const at = (learner: boolean) => EtcdPeer.fromPartial({ peerUrls: ["https://10.240.0.13:2380"], learner });
    for (const [members, present, learner] of [
      [[], ["0", "1", "2"], undefined],
      [[at(true)], ["0", "1", "2"], successor],
      [[at(false)], ["0", "1", "2", "3"], undefined],
    ] as const) {
      const found = presentNodes(of, successor, members);
      t.strictSame([names(found.nodes), found.learner], [present, learner]);
    }
  },
);
