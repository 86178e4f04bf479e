/**
 * Tests that a machine does not rejoin after an administrator has removed its etcd member. Also tests that an
 * interrupted rejoin continues.
 */
import t from "tap";
import { type MemberRecord, readMemberRecord, toWireRecord, writeMemberRecord } from "../../../../agent/etcd/record.ts";
import { removeOtherMember } from "../../../../agent/etcd/remove-member.ts";
import { initialCluster } from "../../../../agent/render/etcd.ts";
import { controllerSteps, joinSteps } from "../../../../agent/steps.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { MemberStage } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { bareMachine, member, wiped } from "../../../fixtures/etcd-machine.ts";
import { applyAll, labDesiredWithEtcd, labMachine, never, planAll } from "../../../fixtures/machine.ts";

const desired = labDesiredWithEtcd();
const steps = controllerSteps(desired, { drained: false });
const ownUrl = "https://10.240.0.10:2380";
const wasRemoved = {
  code: "ETCD_CONFLICT",
  step: "etcd/member",
  message: /member a was removed from the cluster 1267/,
  hint: /khw-client reset NODE/,
};

/** Removes this machine's member, as the agent of another controller does. */
function removedByOthers({ etcd: { members } }: FakeOs): void {
  const own = members.findIndex(({ peerUrl }) => peerUrl === ownUrl);
  members.splice(own, 1);
}

/** Makes every call to this path of etcd's API fail. The returned function ends the failures. */
function failing(os: FakeOs, path: string, error: Error): () => void {
  const post = os.etcd.post.bind(os.etcd);
  os.etcd.post = async (server, request) => {
    if (request.path === path) throw error;
    return post(server, request);
  };
  return () => void (os.etcd.post = post);
}

const powerCut = new KhwError("NOT_READY", "the machine lost power");

t.test(
  "a machine whose member was removed and whose data is lost reports the removal and changes nothing",
  async (t) => {
    const os = await wiped(t);
    removedByOthers(os);
    const before = await readMemberRecord(os.files);
    const starts = os.systemd.changes.filter((change) => /start etcd/.test(change)).length;
    for (const attempt of [1, 2]) {
      const { errors } = await applyAll(steps, os);
      t.match(errors[0], wasRemoved, `attempt ${attempt} reports that the member was removed`);
      t.strictSame([os.etcd.changes, [...os.etcd.keys]], [[], []]);
      t.strictSame(await readMemberRecord(os.files), before);
    }
    t.equal(os.systemd.changes.filter((change) => /start etcd/.test(change)).length, starts, "etcd is not started");
    const { errors } = await applyAll(joinSteps(desired, "4711"), os);
    t.match(errors, [wasRemoved], "a request to join is also refused until the machine is reset");
  },
);

t.test(
  "the error on a machine whose member was removed does not advise removing the member that replaced it",
  async (t) => {
    const os = await wiped(t);
    removedByOthers(os);
    os.etcd.members.push({
      id: "30",
      name: "controller-3",
      peerUrl: "https://10.240.0.13:2380",
      learner: false,
      started: true,
    });
    t.match((await applyAll(steps, os)).errors[0], wasRemoved);
    t.strictSame(os.etcd.changes, []);
  },
);

t.test(
  "if the other members have no quorum, the machine does not report that its member was removed, and changes nothing",
  async (t) => {
    const os = await wiped(t);
    removedByOthers(os);
    os.etcd.up.delete("10.240.0.12");
    t.match((await applyAll(steps, os)).errors[0], { code: "NOT_READY", step: "etcd/member" });
    t.strictSame(os.etcd.changes, []);
  },
);

t.test("a rejoin continues if it was interrupted after the old member was removed", async (t) => {
  for (const path of ["/v3/cluster/member/add", "/v3/cluster/member/remove"]) {
    const os = await wiped(t);
    const repair = failing(os, path, powerCut);
    t.match((await applyAll(steps, os)).errors[0], { step: "etcd/member" });
    t.match(await readMemberRecord(os.files), { stage: "member", memberId: "10", rejoins: true });
    repair();
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
    t.notOk(
      "rejoins" in ((await readMemberRecord(os.files)) ?? {}),
      "the record allows another rejoin after the next removal",
    );
  }
});

t.test(
  "a rejoin that was interrupted long ago or at an unknown time continues only if an administrator requests it",
  async (t) => {
    const minutes = 60_000;
    for (const [passed, goesOn] of [
      [9 * minutes, true],
      [11 * minutes, false],
      [-11 * minutes, false],
      [undefined, false],
    ] as const) {
      const os = await wiped(t);
      const repair = failing(os, "/v3/cluster/member/add", powerCut);
      await applyAll(steps, os);
      repair();
      const record = await readMemberRecord(os.files);
      if (record?.stage !== "member" || record.since === undefined) throw new Error("no time is recorded");
      const { since, ...untimed } = record;
      await writeMemberRecord(os.files, passed === undefined ? untimed : { ...record, since: os.clock.now() - passed });
      const { errors } = await applyAll(steps, os);
      if (!goesOn) {
        t.match(errors[0], {
          code: "ETCD_CONFLICT",
          step: "etcd/member",
          message: /more than 10 minutes ago/,
          hint: /khw-client bootstrap/,
        });
        t.strictSame(os.etcd.changes, ["remove 10"], "no member is added");
        t.strictSame(
          (await applyAll(joinSteps(desired, "4711"), os)).errors,
          [],
          "the member is added when an administrator requests the join",
        );
      } else t.strictSame(errors, []);
      t.strictSame(
        os.etcd.changes,
        ["remove 10", "add 21", "promote 21"],
        `the member is replaced ${passed} ms after ${since}`,
      );
      t.match(await readMemberRecord(os.files), { stage: "member", rejoins: undefined, since: undefined });
    }
  },
);

t.test("a machine rejoins if its request to remove its old member succeeded but the response was lost", async (t) => {
  const os = await wiped(t);
  const post = os.etcd.post.bind(os.etcd);
  os.etcd.post = async (server, request) => {
    const answer = await post(server, request);
    if (request.path === "/v3/cluster/member/remove") throw powerCut;
    return answer;
  };
  await applyAll(steps, os);
  os.etcd.post = post;
  t.strictSame((await applyAll(steps, os)).errors, []);
  t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
});

t.test("a rejoin uses a learner that was added to etcd but not recorded on the machine", async (t) => {
  const os = await wiped(t);
  const write = os.files.write.bind(os.files);
  os.files.write = async (path, content, mode) => {
    if (path.endsWith("etcd-member") && String(content).includes('"joining"')) throw powerCut;
    return write(path, content, mode);
  };
  await applyAll(steps, os);
  os.files.write = write;
  t.strictSame((await applyAll(steps, os)).errors, []);
  t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
});

t.test("a machine whose learner was removed by an administrator joins again only on request", async (t) => {
  const os = await wiped(t);
  os.etcd.behind = Infinity;
  await applyAll(steps, os);
  t.match(await readMemberRecord(os.files), { stage: "joining", memberId: "21" });
  for (const path of ["member/wal/0.wal", "member/wal", "member"]) await os.files.remove(`/var/lib/etcd/${path}`);
  await os.systemd.stop("etcd.service", never);
  removedByOthers(os);
  os.etcd.behind = 0;
  t.match((await applyAll(steps, os)).errors[0], { ...wasRemoved, message: /member 15 was removed/ });
  t.strictSame(os.etcd.changes, ["remove 10", "add 21"]);
  t.strictSame((await applyAll(joinSteps(desired, "4711"), os)).errors, []);
  t.match(await readMemberRecord(os.files), { stage: "member", rejoins: undefined });
});

t.test("an outdated list of members does not make the machine rejoin", async (t) => {
  const os = await wiped(t);
  const before = await readMemberRecord(os.files);
  const repair = failing(
    os,
    "/v3/cluster/member/remove",
    new KhwError("NOT_READY", "10.240.0.11: etcdserver: member not found"),
  );
  t.match((await applyAll(steps, os)).errors[0], wasRemoved);
  t.strictSame(await readMemberRecord(os.files), before);
  repair();
  removedByOthers(os);
  t.match((await applyAll(steps, os)).errors[0], wasRemoved);
  t.strictSame(os.etcd.changes, []);
});

t.test("a machine whose member record is lost does not join a cluster without a request", async (t) => {
  const removed = bareMachine();
  for (const one of removed.etcd.members) one.started = true;
  removedByOthers(removed);
  const learner = bareMachine();
  for (const one of learner.etcd.members) one.started = true;
  Object.assign(learner.etcd.members[0] ?? {}, { name: "", learner: true });
  for (const os of [removed, learner]) {
    const { errors } = await applyAll(steps, os);
    t.match(
      errors.find(({ step }) => step === "etcd/begun"),
      { code: "ETCD_CONFLICT", hint: /khw-client bootstrap/ },
    );
    t.equal(await readMemberRecord(os.files), undefined);
    t.strictSame(os.etcd.changes, []);
  }
  learner.etcd.up.delete("10.240.0.10");
  const { errors } = await applyAll(joinSteps(desired, "4711"), learner);
  t.notOk(
    errors.some(({ code }) => code === "ETCD_CONFLICT"),
    "the learner is used once an administrator requests the join",
  );
  t.notMatch(learner.etcd.changes.join(), /remove|add/);
});

t.test("another controller's member at the machine's address is not removed", async (t) => {
  const os = await wiped(t);
  Object.assign(os.etcd.members[0] ?? {}, { id: "30", name: "controller-9" });
  t.match((await applyAll(steps, os)).errors[0], { code: "ETCD_CONFLICT", message: /controller-9/ });
  t.strictSame(os.etcd.changes, []);
});

t.test("once etcd's data is back, the record no longer says that the member is being replaced", async (t) => {
  const os = await member(t);
  const members = initialCluster(desired);
  const record: MemberRecord = { stage: "member", clusterId: "4711", memberId: "10", members, rejoins: true };
  await writeMemberRecord(os.files, record);
  t.equal(toWireRecord(record).stage, MemberStage.MEMBER_STAGE_JOINING);
  t.match(await planAll(steps, os), { "etcd/remembered": "the record says that the member is being replaced" });
  t.strictSame((await applyAll(steps, os)).errors, []);
  t.notOk("rejoins" in ((await readMemberRecord(os.files)) ?? {}));
  t.strictSame(os.etcd.changes, []);
});

t.test("a member is not removed while any machine is changing etcd's members", async (t) => {
  const os = labMachine();
  const remove = () => removeOtherMember(os, { internalIp: "10.240.0.12", signal: never });
  os.etcd.keys.set(Buffer.from("/khw/etcd/join").toString("base64"), Buffer.from("controller-2").toString("base64"));
  await t.rejects(remove(), { code: "BUSY", message: "controller-2 is changing etcd's members" });
  t.strictSame(os.etcd.changes, []);
  os.etcd.keys.clear();
  t.equal(await remove(), true);
  t.strictSame(os.etcd.changes, ["remove 12"]);
  t.equal(await remove(), false);
  t.strictSame([...os.etcd.keys], [], "the lock is released");
});
