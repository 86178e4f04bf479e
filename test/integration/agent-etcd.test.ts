import t, { type Test } from "tap";
import type { EtcdServers } from "../../agent/os/etcd-servers.ts";
import { connectNode } from "../../client/cluster/agent-client.ts";
import { RestorePhase, Snapshot, SnapshotOrigin } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Role } from "../../proto/roles.ts";
import { startAgent } from "../fixtures/agent-server.ts";
import { controllers, labState } from "../fixtures/lab-cluster.ts";
import { digest, labMachine, never } from "../fixtures/machine.ts";

const header = { cluster_id: "14841639068965178418", member_id: "10276657743932975437", revision: "3" };

/** Creates a controller-0 whose etcd member answers like etcd's gateway. */
function machine() {
  const status = {
    header,
    version: "3.4.23",
    dbSize: "20480",
    dbSizeInUse: "16384",
    leader: header.member_id,
    raftIndex: "10",
    raftTerm: "2",
    raftAppliedIndex: "9",
    errors: ["memberID:10276657743932975437 alarm:NOSPACE "],
  };
  const member = {
    ID: header.member_id,
    name: "controller-0",
    peerURLs: ["https://10.240.0.10:2380"],
    clientURLs: ["https://10.240.0.10:2379"],
  };
  const answers: Record<string, object> = {
    "/v3/maintenance/status": status,
    "/v3/cluster/member/list": { header, members: [member] },
    "/v3/maintenance/defragment": {},
  };
  const os = labMachine();
  const post: EtcdServers["post"] = async (_, { path }) => ({ ...answers[path] });
  return { ...os, etcd: { ...os.etcd, post } };
}

async function open(t: Test, os = machine()) {
  const agent = await startAgent(os);
  const as = async (role: Role) => {
    const { key, certificate } = await agent.identity(role);
    const [ca, pem, keyPem] = [agent.authority.certificate, certificate, key].map((text) => Buffer.from(text));
    if (ca === undefined || pem === undefined || keyPem === undefined)
      throw new TypeError("an identity has three files");
    const address = { name: "controller-0", host: "127.0.0.1", port: agent.port };
    const node = connectNode(address, { ca, certificate: pem, key: keyPem });
    t.teardown(() => node.close());
    return node.etcd;
  };
  t.teardown(() => agent[Symbol.asyncDispose]());
  return { os, agent, admin: await as("admin"), viewer: await as("viewer") };
}

async function* chunksOf(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

t.test("the agent reports the data of its own etcd member, with IDs in etcdctl's format", async (t) => {
  const { viewer } = await open(t);
  const { member, reason, restore } = await viewer.status(never);
  t.equal(reason, "");
  t.equal(restore, undefined);
  t.match(member, {
    memberId: "8e9e05c52164694d",
    clusterId: "cdf818194e3a8c32",
    leaderId: "8e9e05c52164694d",
    name: "controller-0",
    raftTerm: 2,
    raftIndex: 10,
    appliedIndex: 9,
    revision: 3,
    dbSize: 20480,
    dbSizeInUse: 16384,
    learner: false,
    version: "3.4.23",
    errors: ["memberID:10276657743932975437 alarm:NOSPACE"],
  });
});

t.test("an etcd member that does not respond does not fail the status call", async (t) => {
  const { viewer } = await open(t, labMachine());
  const { member, reason } = await viewer.status(never);
  t.equal(member, undefined);
  t.match(reason, /ECONNREFUSED/);
});

t.test("a snapshot can be taken, listed, verified, read and copied to another node", async (t) => {
  const [from, to] = [await open(t), await open(t)];
  from.os.etcdctl.content = "a snapshot";
  const taken = await from.admin.save(never);
  t.match(taken, { node: "controller-0", revision: 10, origin: SnapshotOrigin.SNAPSHOT_ORIGIN_REQUESTED });
  t.same((await from.viewer.list(never)).snapshots, [taken]);
  t.equal((await from.admin.verify(taken.id, never)).sha256, taken.sha256);
  const copied = await to.admin.write(taken, from.admin.read(taken.id, never), never);
  t.match(copied, { id: taken.id, sha256: taken.sha256, origin: SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED });
  t.equal((await to.viewer.list(never)).snapshots.length, 1);
});

t.test("an uploaded snapshot with a wrong digest or too many bytes is refused", async (t) => {
  const { admin, viewer } = await open(t);
  const announced = Snapshot.fromPartial({ id: "x", size: 3, sha256: digest("abc") });
  await t.rejects(admin.write(announced, chunksOf("abd"), never), { code: "DIGEST_MISMATCH" });
  await t.rejects(admin.write(announced, chunksOf(...Array<string>(200).fill("a".repeat(100_000))), never), {
    code: "INVALID_ARGUMENT",
  });
  t.same((await viewer.list(never)).snapshots, []);
});

t.test("a viewer may list snapshots, but may not take, read, copy or restore them, or defragment etcd", async (t) => {
  const { admin, viewer, os } = await open(t);
  const { id } = await admin.save(never);
  const request = { restoreId: "", snapshotId: id, members: [], phase: RestorePhase.RESTORE_PHASE_HELD };
  const read = async (): Promise<void> => {
    for await (const _ of viewer.read(id, never)) t.fail("no byte arrives");
  };
  const denied = { code: "PERMISSION_DENIED" };
  await t.rejects(viewer.save(never), denied);
  await t.rejects(viewer.verify(id, never), denied);
  await t.rejects(read(), denied);
  await t.rejects(viewer.write(Snapshot.fromPartial({ id }), chunksOf("a"), never), denied);
  await t.rejects(viewer.advance(request, never), denied);
  await t.rejects(viewer.defragment(never), denied);
  t.equal(os.etcdctl.calls.filter((call) => call === "save").length, 1);
});

t.test("a restore that also changes the release requires a complete desired state for this machine", async (t) => {
  const { admin, viewer } = await open(t);
  const { id } = await admin.save(never);
  const request = {
    restoreId: "00000000-0000-4000-8000-000000000001",
    snapshotId: id,
    members: controllers,
    phase: RestorePhase.RESTORE_PHASE_HELD,
  };
  const refused = { code: "INVALID_ARGUMENT" };
  const [credential] = labState().credentials;
  const bare = { name: "ca.pem", sha256: credential?.sha256 ?? "", content: undefined };
  const incomplete = labState({ credentials: [bare, ...labState().credentials.slice(1)] });
  await t.rejects(admin.advance({ ...request, desired: incomplete }, never), refused);
  const another = labState({ node: "controller-1" });
  await t.rejects(admin.advance({ ...request, desired: another }, never), {
    ...refused,
    message: /desired\.node.*controller-1/,
  });
  t.equal((await viewer.status(never)).restore, undefined);
});

t.test("a defragmentation is recorded in the history", async (t) => {
  const { admin, agent } = await open(t);
  t.match(await admin.defragment(never), { sizeBefore: 20480, sizeAfter: 20480 });
  const events = await (await agent.node()).history.list({ sinceUnixMillis: 0 });
  t.match(events.at(-1)?.message, /defragmented by admin from .*, from 20480 to 20480 bytes/);
});
