import t from "tap";
import { compareMembership } from "../../../../client/rollout/membership.ts";
import type { NodeEtcd } from "../../../../client/etcd/overview.ts";
import type { Controller } from "../../../../proto/desired.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { GetEtcdStatusResponse, MemberStage } from "../../../../proto/gen/khw/agent/v1/etcd.ts";

const machine = (index: number) => ({ name: `controller-${index}`, internalIp: `10.240.0.1${index}` });
const machines = (...indexes: readonly number[]) => indexes.map(machine);
const peer = (index: number, changes: object = {}) => ({
  memberId: `a${index}`,
  name: `controller-${index}`,
  peerUrls: [`https://10.240.0.1${index}:2380`],
  clientUrls: [`https://10.240.0.1${index}:2379`],
  learner: false,
  ...changes,
});
type Peer = ReturnType<typeof peer>;

interface Shown {
  readonly members?: readonly Peer[];
  readonly stage?: MemberStage;
  readonly clusterId?: string;
  readonly recorded?: readonly number[];
  readonly leaderId?: string;
  readonly version?: string;
}

/** Returns the report of an agent whose machine has a member. */
function member(index: number, shown: Shown = {}): NodeEtcd {
  const { members, stage = MemberStage.MEMBER_STAGE_MEMBER, clusterId = "c1", recorded = [0, 1, 2] } = shown;
  const { leaderId = "a0", version = "3.4.23" } = shown;
  const status = GetEtcdStatusResponse.fromPartial({
    record: { stage, clusterId, members: machines(...recorded) },
    ...(members !== undefined && {
      member: { clusterId, memberId: `a${index}`, leaderId, version, members: [...members] },
    }),
  });
  return { node: `controller-${index}`, status };
}

/** Returns the report of an agent on a machine without a member. */
const empty = (index: number): NodeEtcd => ({
  node: `controller-${index}`,
  status: GetEtcdStatusResponse.fromPartial({ reason: "connect ECONNREFUSED" }),
});

const version = "v3.4.23";
const three = [peer(0), peer(1), peer(2)];
const [first, second, third] = [0, 1, 2].map((index) => member(index, { members: three }));
if (first === undefined || second === undefined || third === undefined) throw new TypeError("there are three");

const compare = (controllers: readonly number[], nodes: readonly NodeEtcd[], release = version) =>
  compareMembership({ controllers: machines(...controllers), nodes, version: release });

t.test("no controller joins a cluster that is new or complete, or whose first bootstrap was interrupted", async (t) => {
  t.strictSame(compare([0, 1, 2], [0, 1, 2].map(empty)), { clusterId: "", joining: [], obstacles: [], warnings: [] });
  t.match(compare([0, 1, 2], [first, second, third]), { clusterId: "c1", joining: [], obstacles: [] });
  const forming = member(1, { stage: MemberStage.MEMBER_STAGE_FORMING });
  t.match(compare([0, 1, 2], [first, forming, empty(2)]), { joining: [], obstacles: [] });
});

t.test("a cluster can grow from one to three controllers and from three to five", async (t) => {
  const alone = member(0, { members: [peer(0)], recorded: [0] });
  t.match(compare([0, 1, 2], [alone, empty(1), empty(2)]), {
    clusterId: "c1",
    joining: ["controller-1", "controller-2"],
    obstacles: [],
    warnings: [],
  });
  const five = compare([0, 1, 2, 3, 4], [first, second, third, empty(3), empty(4)]);
  t.match(five, { joining: ["controller-3", "controller-4"], obstacles: [] });
});

t.test("a learner that an interrupted run has added joins before any other controller", async (t) => {
  const alone = member(0, { members: [peer(0), peer(2, { learner: true, name: "" })], recorded: [0] });
  const joining = member(2, { stage: MemberStage.MEMBER_STAGE_JOINING });
  const { joining: order, obstacles } = compare([0, 1, 2], [alone, empty(1), joining]);
  t.strictSame(order, ["controller-2", "controller-1"]);
  t.strictSame(obstacles, []);
  const adding = member(1, { stage: MemberStage.MEMBER_STAGE_ADDING });
  t.strictSame(compare([0, 1], [member(0, { members: [peer(0)], recorded: [0] }), adding]).obstacles, []);
});

t.test("an even number of controllers causes a warning about its cost", async (t) => {
  const four = compare([0, 1, 2, 3], [first, second, third, empty(3)]);
  t.match(four.warnings, [
    /^4 controllers tolerate 1 failure, the same as 3 controllers, but each write needs 3 .* of 2/,
  ]);
  const two = compare([0, 1], [member(0, { members: [peer(0)], recorded: [0] }), empty(1)]);
  t.match(two.warnings, [
    /^2 controllers tolerate 0 failures, the same as 1 controller, but each write needs 2 .* of 1/,
  ]);
});

t.test(
  "bootstrap refuses a membership change that it cannot make, and the error names the right command",
  async (t) => {
    const away: NodeEtcd = { node: "controller-2", error: new KhwError("UNREACHABLE", "no answer") };
    const refused = (controllers: readonly number[], nodes: readonly NodeEtcd[], release?: string) =>
      compare(controllers, nodes, release).obstacles;
    const refusedWith = (extra: Controller) =>
      compareMembership({ controllers: [...machines(0, 1), extra], nodes: [first, second], version }).obstacles;

    t.test("a shorter list of controllers", async (t) => {
      t.match(refused([0, 1], [first, second]), [
        { code: "ETCD_CONFLICT", message: /^controller-2 is a controller/, hint: /`khw-client remove controller-2`/ },
      ]);
    });

    t.test("a member that is not a controller", async (t) => {
      const withStranger = [...three, peer(9, { name: "stranger" })];
      t.match(refused([0, 1, 2], [member(0, { members: withStranger })]), [
        { code: "ETCD_CONFLICT", message: /a member a9 at .*19:2380/, hint: /etcdctl member remove a9/ },
      ]);
    });

    t.test("a machine that runs in another cluster", async (t) => {
      const other = member(3, { members: [peer(3)], clusterId: "c2", recorded: [3] });
      t.match(refused([0, 1, 2, 3], [first, second, third, other]), [
        { code: "ETCD_CONFLICT", message: /different etcd clusters: controller-0, controller-1, controller-2 to c1; / },
      ]);
    });

    t.test("a machine that has started its own cluster", async (t) => {
      const forming = member(3, { stage: MemberStage.MEMBER_STAGE_FORMING, clusterId: "", recorded: [3] });
      t.match(refused([0, 1, 2, 3], [first, second, third, forming]), [
        { code: "ETCD_CONFLICT", node: "controller-3", hint: /khw-client reset controller-3/ },
      ]);
    });

    t.test("a controller that was removed but not reset", async (t) => {
      const removed = member(3, { members: three, recorded: [0, 1, 2, 3] });
      t.match(refused([0, 1, 2, 3], [first, second, third, removed]), [
        { code: "ETCD_CONFLICT", node: "controller-3", message: /was removed from the cluster/ },
      ]);
    });

    t.test("an address that another member uses", async (t) => {
      t.match(refusedWith({ name: "controller-7", internalIp: "10.240.0.12" }), [
        { code: "ETCD_CONFLICT", node: "controller-7", message: /10\.240\.0\.12 is in use by the etcd member control/ },
      ]);
    });

    t.test("a member with a changed internal address", async (t) => {
      t.match(refusedWith({ name: "controller-2", internalIp: "10.240.0.77" }), [
        { code: "ETCD_CONFLICT", node: "controller-2", message: /is 10\.240\.0\.77 now, but its etcd member is at/ },
      ]);
    });

    t.test("a new member while another member is unhealthy", async (t) => {
      t.match(refused([0, 1, 2, 3], [first, second, away, empty(3)]), [
        { code: "NOT_READY", node: "controller-2", message: /^controller-3 cannot join .*no answer/, hint: /--dead/ },
      ]);
    });

    t.test("a new controller that does not answer", async (t) => {
      t.match(refused([0, 1, 2, 3], [first, second, third, { ...away, node: "controller-3" }]), [
        { code: "UNREACHABLE", node: "controller-3", message: /it cannot join the cluster: no answer/ },
      ]);
    });

    t.test("a new member with an etcd release that can lose the promotion of a member", async (t) => {
      for (const release of ["v3.5.1", "v3.5.25"])
        t.match(refused([0, 1, 2, 3], [first, second, third, empty(3)], release), [
          { code: "ETCD_CONFLICT", message: new RegExp(`etcd ${release} does not store`), hint: /v3\.5\.26 or later/ },
        ]);
      const running = member(0, { members: [peer(0)], recorded: [0], version: "3.5.9" });
      t.match(refused([0, 1], [running, empty(1)]), [{ message: /etcd 3\.5\.9 does not store/ }]);
      t.strictSame(refused([0, 1, 2], [first, second, third], "v3.5.9"), [], "no member is added");
    });
  },
);

t.test("while etcd does not respond, only the recorded list of controllers is accepted", async (t) => {
  const silent = [0, 1, 2].map((index) => member(index));
  t.strictSame(compare([0, 1, 2], silent).obstacles, []);
  t.match(compare([0, 1, 2, 3], [...silent, empty(3)]).obstacles, [
    { code: "ETCD_CONFLICT", node: "controller-0", message: /^etcd does not answer/ },
  ]);
});
