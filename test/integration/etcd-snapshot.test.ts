import t, { type Test } from "tap";
import { type ListSnapshotsResponse, Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { startScripted } from "../fixtures/scripted-agents.ts";
import { wellStatus } from "../fixtures/status.ts";

const names = ["controller-0", "controller-1"];
const good = Snapshot.fromPartial({ id: "good", sha256: "aa", node: "controller-0", hash: "h", takenUnixMillis: 1 });

/** Starts agents that list this snapshot and report it as good. */
async function start(t: Test, snapshot = good, lastRun?: ListSnapshotsResponse["lastRun"]) {
  const script = (name: string) => ({
    status: wellStatus(name),
    etcd: {
      listSnapshots: (_: unknown, done: (error: null, answer: ListSnapshotsResponse) => void) =>
        done(null, { snapshots: [snapshot], lastRun }),
      verifySnapshot: (_: unknown, done: (error: null, answer: { snapshot: Snapshot }) => void) =>
        done(null, { snapshot }),
    },
  });
  const cluster = await startScripted(Object.fromEntries(names.map((name) => [name, script(name)])));
  t.teardown(() => cluster[Symbol.asyncDispose]());
  const run = async (...argv: readonly string[]) => {
    const client = cluster.client(["etcd", "snapshot", ...argv]);
    return { code: await client.code, out: client.out(), err: client.err() };
  };
  return { agents: cluster.agents, run };
}

t.test("snapshot verify checks the snapshot on every node that has it", async (t) => {
  const { run } = await start(t);
  const { code, out } = await run("verify");
  t.equal(code, 0);
  t.match(out, /^good: verified on controller-0.*\ngood: verified on controller-1/);
});

t.test("if one node is unreachable, the other nodes verify the snapshot, and the exit code is 3", async (t) => {
  const { agents, run } = await start(t);
  await agents[1]?.stop();
  const { code, out, err } = await run("verify");
  t.equal(code, 3);
  t.match(out, /^good: verified on controller-0/);
  t.match(err, /controller-1/);
});

t.test("if no agent responds, snapshot verify fails and names every node", async (t) => {
  const { agents, run } = await start(t);
  for (const agent of agents) await agent.stop();
  await t.rejects(run("verify"), { code: "UNREACHABLE", message: /^no node answers:.*controller-0.*controller-1/s });
});

t.test("text from agents about snapshots is sanitized before it is printed", async (t) => {
  const bell = "\u001b]0;title\u0007";
  const odd = { ...good, id: `good${bell}`, node: `controller-0${bell}`, hash: bell, uploaded: `gs://b/${bell}` };
  const { run } = await start(t, odd, { timeUnixMillis: 1, problem: `no room${bell}\nhint: make some` });
  const listed = await run("list");
  const verified = await run("verify");
  t.match(listed.err, /no room.*title.*\n {2}hint: make some\n/);
  for (const { out, err } of [listed, verified]) t.notMatch(`${out}${err}`, /[^\n\P{Cc}]/u);
  t.match(verified.out, /^good.*\ngood/);
});
