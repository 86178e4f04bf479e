import t, { type Test } from "tap";
import { findConflict } from "../../../../agent/etcd/conflict.ts";
import { quorumObstacle } from "../../../../agent/etcd/quorum-obstacle.ts";
import { readMemberRecord, writeMemberRecord } from "../../../../agent/etcd/record.ts";
import { initialCluster, renderEtcd } from "../../../../agent/render/etcd.ts";
import type { ProbeFailure } from "../../../../agent/os/failure.ts";
import { controllerSteps, joinSteps } from "../../../../agent/steps.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { controllers, labState } from "../../../fixtures/lab-cluster.ts";
import { applyAll, etcdRelease, labDesiredWithEtcd, labMachine, never, planAll } from "../../../fixtures/machine.ts";

const desired = labDesiredWithEtcd();
const clusterId = "4711";
const steps = joinSteps(desired, clusterId);
const joinDropIn = "/etc/systemd/system/etcd.service.d/60-khw-join.conf";

/** Creates controller-0 as a new machine. The existing etcd cluster consists of controller-1 and controller-2. */
function newMachine(): FakeOs {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  keepMembers(os, ["10.240.0.11", "10.240.0.12"]);
  const starts = (change: "start" | "restart"): void => {
    const original = os.systemd[change].bind(os.systemd);
    os.systemd[change] = async (name, signal) => {
      if (name === "etcd.service") startsLearner(os);
      await original(name, signal);
    };
  };
  starts("start");
  starts("restart");
  return os;
}

/** Removes every etcd member whose address is not in the list. */
function keepMembers({ etcd: { members, up } }: FakeOs, addresses: readonly string[]): void {
  const kept = members.filter(({ peerUrl }) => addresses.includes(new URL(peerUrl).hostname));
  members.splice(0, members.length, ...kept);
  for (const address of up) if (!addresses.includes(address)) up.delete(address);
}

function startsLearner(os: FakeOs): void {
  const own = os.etcd.members.find(({ peerUrl }) => peerUrl.includes("10.240.0.10"));
  if (own === undefined) throw new Error("etcd was started before its member was added");
  own.name = "controller-0";
  os.etcd.up.add("10.240.0.10");
  os.files.put("/var/lib/etcd/member/wal/0.wal", "data of the others");
}

t.test("a new machine becomes a learner, restarts with its final flags, and is then promoted", async (t) => {
  const os = newMachine();
  const seen: string[] = [];
  const restart = os.systemd.restart.bind(os.systemd);
  os.systemd.restart = async (name, signal) => {
    seen.push(os.etcd.members.some(({ learner }) => learner) ? "as a learner" : "as a voting member");
    await restart(name, signal);
  };
  t.strictSame((await applyAll(steps, os)).errors, []);
  t.strictSame(os.etcd.changes, ["add 20", "promote 20"]);
  t.match(await readMemberRecord(os.files), { stage: "member", clusterId, memberId: "20" });
  t.strictSame([...new Set(seen)], ["as a learner"], "etcd is restarted only while the member is a learner");
  t.equal(os.files.text(joinDropIn), undefined);
  t.equal(
    os.files.text("/etc/systemd/system/etcd.service"),
    renderEtcd(desired),
    "etcd's unit file is identical to the unit file from the lab",
  );
  t.notOk(
    os.systemd.changes.some((change) => change.includes("kube-")),
    "no other component is started",
  );
  t.strictSame(await planAll(steps, os), {}, "a second run makes no changes");
});

t.test(
  "the request to add a member is retried until etcd accepts it, and the join fails if etcd keeps refusing it",
  async (t) => {
    const os = newMachine();
    const post = os.etcd.post.bind(os.etcd);
    let refusals = 3;
    os.etcd.post = async (server, request) => {
      if (request.path.endsWith("/member/add") && refusals-- > 0)
        throw new KhwError("NOT_READY", `${server}: etcdserver: unhealthy cluster`);
      return post(server, request);
    };
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["add 20", "promote 20"]);

    const other = newMachine();
    const forward = other.etcd.post.bind(other.etcd);
    other.etcd.post = async (server, request) => {
      if (request.path.endsWith("/member/add")) throw new KhwError("NOT_READY", "etcdserver: unhealthy cluster");
      return forward(server, request);
    };
    t.match((await applyAll(steps, other)).errors, [{ code: "NOT_READY", hint: /repair or remove it first/ }]);
    t.strictSame(other.etcd.changes, []);
  },
);

t.test("an interrupted join resumes with the same learner", async (t) => {
  t.test("a join interrupted before the learner is recorded resumes with the same learner", async (t) => {
    const os = newMachine();
    const write = os.files.write.bind(os.files);
    os.files.write = async (path, content, mode) => {
      if (path.endsWith("etcd-member") && String(content).includes("joining"))
        throw new Error("the machine lost power");
      return write(path, content, mode);
    };
    await applyAll(steps, os);
    t.match(await readMemberRecord(os.files), { stage: "adding", clusterId });
    os.files.write = write;
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["add 20", "promote 20"]);
  });

  t.test("a join interrupted before the learner is promoted resumes with the same learner", async (t) => {
    const os = newMachine();
    os.etcd.behind = Infinity;
    t.match((await applyAll(steps, os)).errors, [{ code: "NOT_READY", step: "etcd/promoted" }]);
    t.match(await readMemberRecord(os.files), { stage: "joining", memberId: "20" });
    os.etcd.behind = 0;
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["add 20", "promote 20"]);
  });
});

t.test("a machine that may not join makes no changes in etcd", async (t) => {
  const refusals: readonly (readonly [string, (os: FakeOs) => Promise<void> | void, object])[] = [
    [
      "another member uses this machine's address",
      (os) => {
        const peerUrl = "https://10.240.0.10:2380";
        os.etcd.members.push({ id: "19", name: "controller-9", peerUrl, learner: false, started: false });
      },
      { code: "ETCD_CONFLICT", message: /the etcd member "controller-9" \(13\) uses this machine's address/ },
    ],
    [
      "a foreign member",
      (os) => {
        const peerUrl = "https://10.240.0.99:2380";
        os.etcd.members.push({ id: "19", name: "stranger", peerUrl, learner: false, started: true });
      },
      { code: "SERVICE_FAILED", message: /which is not a controller/ },
    ],
    [
      "another learner",
      (os) => Object.assign(os.etcd.members[1] ?? {}, { learner: true }),
      { code: "BUSY", message: /is a learner, and etcd accepts one at a time/ },
    ],
    [
      "another cluster",
      (os) => void Object.assign(os.etcd, { clusterId: "4712" }),
      { code: "NOT_READY", message: /belongs to another cluster/ },
    ],
    [
      "this machine has a member of another cluster",
      async ({ files }) => {
        const members = initialCluster(desired);
        await writeMemberRecord(files, { stage: "member", members, clusterId: "4712", memberId: "7" });
      },
      { code: "ETCD_CONFLICT", message: /belongs to the cluster 1268, so it cannot join the cluster 1267/ },
    ],
    [
      "this machine has started to create a cluster",
      async ({ files }) => writeMemberRecord(files, { stage: "forming", members: initialCluster(desired) }),
      { code: "ETCD_CONFLICT", message: /belongs to a cluster of its own/ },
    ],
    [
      "the agent cannot trust its own observations",
      (os) => void Object.assign(os.self, { loopback: "connect EMFILE" }),
      { code: "NOT_READY", message: /cannot trust its own observations/ },
    ],
  ];
  for (const [what, spoil, error] of refusals) {
    t.test(what, async (t) => {
      const os = newMachine();
      await spoil(os);
      const { errors } = await applyAll(steps, os);
      t.match(errors, [error]);
      t.strictSame(os.etcd.changes, []);
    });
  }
});

t.test("a join is refused for etcd releases that can lose the promotion of a learner", async (t) => {
  for (const [version, refused] of [
    ["v3.5.1", true],
    ["v3.5.25", true],
    ["v3.5.26", false],
    ["v3.4.23", false],
  ] as const) {
    const os = newMachine();
    etcdRelease(os, version);
    const state = { ...desired, etcd: { ...desired.etcd, version } };
    const { errors } = await applyAll(joinSteps(state, clusterId), os);
    if (!refused) t.strictSame(errors, [], version);
    else t.match(errors, [{ code: "ETCD_CONFLICT", hint: /upgrade etcd to v3\.5\.26 or later/ }], version);
  }
});

t.test("without a join request, a machine neither joins the cluster nor creates a second one", async (t) => {
  const os = newMachine();
  const { errors } = await applyAll(controllerSteps(desired, { drained: false }), os);
  const own = errors.find(({ step }) => step === "etcd/begun");
  t.match(own, { code: "ETCD_CONFLICT", message: /have the etcd cluster 1267, and this machine is not a member/ });
  t.strictSame(os.etcd.changes, []);
  t.equal(await readMemberRecord(os.files), undefined);
});

/** Creates controller-0 in a cluster that now has these members. The record on controller-0 lists only controller-0. */
async function firstOf(t: Test, addresses: readonly string[]): Promise<FakeOs> {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  keepMembers(os, addresses);
  const { cluster } = labState();
  if (cluster === undefined) throw new TypeError("the lab's desired state has no cluster");
  const alone = labDesiredWithEtcd({ cluster: { ...cluster, controllers: controllers.slice(0, 1) } });
  os.files.put("/var/lib/etcd/member/wal/0.wal", "data");
  const members = initialCluster(alone);
  await writeMemberRecord(os.files, { stage: "member", members, clusterId, memberId: "10" });
  t.equal(await findConflict(alone, os, never), null);
  return os;
}

t.test(
  "an existing member accepts a longer controller list as soon as every listed controller is a member",
  async (t) => {
    const begun = (os: FakeOs) => planAll(controllerSteps(desired, { drained: false }), os);
    const early = await firstOf(t, ["10.240.0.10"]);
    t.equal(
      await findConflict(desired, early, never),
      null,
      "the existing member does not conflict with the longer list",
    );
    t.match(await begun(early), { "etcd/begun": "etcd does not have controller-1, controller-2 as a member yet" });
    const { errors } = await applyAll(controllerSteps(desired, { drained: false }), early);
    t.match(
      errors.find(({ step }) => step === "etcd/begun"),
      { code: "ETCD_CONFLICT", hint: /bootstrap/ },
    );
    t.match([...((await readMemberRecord(early.files))?.members.keys() ?? [])], ["controller-0"]);

    const os = await firstOf(t, ["10.240.0.10", "10.240.0.11", "10.240.0.12"]);
    t.match(await begun(os), { "etcd/begun": "the recorded list of etcd members is out of date" });
    await applyAll(controllerSteps(desired, { drained: false }), os);
    t.strictSame((await readMemberRecord(os.files))?.members, initialCluster(desired));
  },
);

t.test(
  "a controller list is refused if it omits an existing member, or if it changes while etcd is unreachable",
  async (t) => {
    const { cluster } = labState();
    if (cluster === undefined) throw new TypeError("the lab has a cluster");
    const two = labDesiredWithEtcd({ cluster: { ...cluster, controllers: controllers.slice(0, 2) } });
    const os = await firstOf(t, ["10.240.0.10", "10.240.0.11", "10.240.0.12"]);
    t.match(await findConflict(two, os, never), { code: "ETCD_CONFLICT", hint: /khw-client remove NODE/ });
    os.etcd.up.clear();
    t.match(await findConflict(desired, os, never), { code: "ETCD_CONFLICT" });
  },
);

t.test("the quorum is computed from etcd's members, not from an outdated list of controllers", async (t) => {
  const os = await firstOf(t, ["10.240.0.10", "10.240.0.11"]);
  for (const name of ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"])
    os.files.put(`/var/lib/kubernetes/${name}`, name);
  t.match(await quorumObstacle(os, { mayPause: false, signal: never }), /the quorum needs 2 of 2/);
  t.equal(await quorumObstacle(os, { mayPause: true, signal: never }), null, "a restart may pause a cluster of two");
});

t.test("a member that does not answer the agent is stopped only by an administrator, or if it is dead", async (t) => {
  const os = await firstOf(t, ["10.240.0.10", "10.240.0.11", "10.240.0.12"]);
  os.etcd.post = async () => {
    throw new KhwError("UNREACHABLE", "certificate has expired");
  };
  const obstacle = (mayPause: boolean): Promise<string | null> => quorumObstacle(os, { mayPause, signal: never });
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  for (const name of ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"])
    os.files.put(`/var/lib/kubernetes/${name}`, name);
  t.match(await obstacle(false), /does not answer the agent/);
  t.equal(await obstacle(true), null);
  os.answers.set("https://127.0.0.1:2379/health", { status: 503, body: '{"health":"false"}' });
  t.match(await obstacle(false), /nothing proves that it is down/, "the member is alive");
  const failed = (failure: ProbeFailure) =>
    os.answers.set("https://127.0.0.1:2379/health", { status: 0, body: failure, failure });
  for (const failure of ["rejected", "unverified", "own"] as const) {
    failed(failure);
    t.match(await obstacle(false), /nothing proves that it is down/, failure);
  }
  failed("refused");
  t.equal(await obstacle(false), null, "no process listens on the port");
});
