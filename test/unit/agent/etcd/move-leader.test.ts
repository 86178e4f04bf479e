import t from "tap";
import { moveLeader } from "../../../../agent/etcd/move-leader.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { applyAll, etcdRelease, labDesiredWithEtcd, labMachine, never } from "../../../fixtures/machine.ts";

/** Transfers the leadership from controller-0 to another member. Returns the progress lines. */
async function move(os: FakeOs): Promise<string[]> {
  const lines: string[] = [];
  await moveLeader(os, { signal: never, progress: (line) => lines.push(line) });
  return lines;
}

t.test("an etcd leader transfers leadership to another healthy member", async (t) => {
  const os = labMachine();
  os.etcd.up.delete("10.240.0.11");
  t.strictSame(await move(os), ["controller-2 is now the etcd leader"]);
  t.strictSame(os.etcd.changes, ["leader 12"]);
  t.strictSame(await move(os), [], "a member that is no longer the leader does not transfer leadership");
});

t.test(
  "leadership is never transferred to a learner, to an unreachable member, or in a single-member cluster",
  async (t) => {
    const os = labMachine();
    os.etcd.up.delete("10.240.0.11");
    for (const member of os.etcd.members.slice(2)) member.learner = true;
    t.strictSame(await move(os), []);
    os.etcd.members.splice(1);
    t.strictSame(await move(os), []);
    t.strictSame(os.etcd.changes, []);
  },
);

t.test("a failed leadership transfer is reported but is not an error", async (t) => {
  const os = labMachine();
  os.etcd.up.delete("10.240.0.10");
  t.match(await move(os), [/^no other etcd member could be made the leader: .*ECONNREFUSED/]);
});

t.test("leadership is transferred before an upgrade restarts etcd", async (t) => {
  const os = labMachine();
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  for (const member of os.etcd.members) member.started = false;
  for (const version of ["v3.4.99", "v3.5.99"]) etcdRelease(os, version);
  const desired = labDesiredWithEtcd();
  t.strictSame((await applyAll(controllerSteps(desired, { drained: false }), os)).errors, []);
  t.strictSame(os.etcd.changes, [], "leadership is not transferred when etcd starts for the first time");
  os.files.put("/var/lib/etcd/member/wal/0.wal", "data");
  for (const member of os.etcd.members) member.started = true;
  const newer = { ...desired, etcd: { ...desired.etcd, version: "v3.5.99" } };
  t.strictSame((await applyAll(controllerSteps(newer, { drained: false }), os)).errors, []);
  t.strictSame(os.etcd.changes, ["leader 11"]);
});
