import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import type { Member } from "../../../../client/cluster/open.ts";
import { confirmByName } from "../../../../client/reset/consent.ts";
import { saveSnapshot } from "../../../../client/reset/save-snapshot.ts";
import { resetAll } from "../../../../client/commands/reset.ts";
import { resetNode } from "../../../../client/reset/reset-node.ts";
import type { Context } from "../../../../client/terminal/context.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { GetInfoResponse, Operation } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { EtcdMember, GetEtcdStatusResponse, Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import type { ResetRequest } from "../../../../proto/gen/khw/agent/v1/removal.ts";
import { createFakeCluster, type FakeCluster } from "../../../fakes/cluster.ts";
import { unusedEtcd, unusedRemoval } from "../../../fakes/etcd-calls.ts";
import { never } from "../../../fixtures/machine.ts";

const context: Context = { write: () => {}, warn: () => {}, terminal: false, env: {}, signal: never };
const silent = { emit: () => {}, settled: async () => {} };

t.test("a whole cluster is reset only if the cluster's name is given as an option or typed", async (t) => {
  await confirmByName("prod", context, "prod");
  await confirmByName("prod", { ...context, prompt: async () => "prod" }, "");
  const refused = { code: "INVALID_ARGUMENT", hint: /--yes prod/ };
  await t.rejects(confirmByName("prod", context, ""), { ...refused, message: /was not confirmed/ });
  await t.rejects(confirmByName("prod", { ...context, prompt: async () => "prod" }, "test"), refused);
  await t.rejects(confirmByName("prod", { ...context, prompt: async () => "yes" }, ""), {
    ...refused,
    message: /"yes" is not the cluster's name/,
  });
  await t.rejects(confirmByName("prod", { ...context, prompt: async () => undefined }, ""), refused);
});

const bytes = Buffer.from("a snapshot");
const snapshot = Snapshot.fromPartial({
  id: "20260131T120000Z-controller-0",
  node: "controller-0",
  size: bytes.length,
  sha256: createHash("sha256").update(bytes).digest("hex"),
});

/** Returns the members of a cluster whose first node has etcd. */
async function withEtcd({ leaderId = "a", sent = bytes, taken = [snapshot] } = {}): Promise<readonly Member[]> {
  const { members } = await createFakeCluster(["controller-0", "controller-1"], false);
  const member = leaderId === "" ? undefined : EtcdMember.fromPartial({ memberId: "a", leaderId });
  return members.map(({ node, info }) => ({
    info: GetInfoResponse.fromPartial({ ...info, etcdBegun: true }),
    node: {
      ...node,
      etcd: {
        ...unusedEtcd,
        status: async () => GetEtcdStatusResponse.fromPartial({ member }),
        save: async () => snapshot,
        list: async () => ({ snapshots: [...taken], lastRun: undefined }),
        read: async function* () {
          yield sent;
        },
      },
    },
  }));
}

t.test("before a reset, a snapshot is taken, copied and verified", async (t) => {
  const folder = t.testdir();
  const saved = await saveSnapshot(await withEtcd(), { folder, signal: never });
  t.equal(saved?.path, join(folder, `khw-snapshot-${snapshot.id}.db`));
  t.strictSame(await readFile(saved?.path ?? ""), bytes);
  t.equal((await stat(saved?.path ?? "")).mode & 0o777, 0o600);
});

t.test("a damaged copy of the snapshot is refused and removed", async (t) => {
  const folder = t.testdir();
  const members = await withEtcd({ sent: Buffer.from("another file") });
  await t.rejects(saveSnapshot(members, { folder, signal: never }), { code: "DIGEST_MISMATCH" });
  t.strictSame(await readdir(folder), []);
});

t.test("if etcd is down, the newest snapshot is copied, and the command stops if there is no snapshot", async (t) => {
  const folder = t.testdir();
  t.match(await saveSnapshot(await withEtcd({ leaderId: "" }), { folder, signal: never }), { snapshot });
  await t.rejects(saveSnapshot(await withEtcd({ leaderId: "", taken: [] }), { folder, signal: never }), {
    code: "NOT_READY",
    hint: /--without-snapshot/,
  });
});

t.test("no snapshot is saved if no node has ever been an etcd member", async (t) => {
  const members = (await withEtcd()).map((member) => ({ ...member, info: GetInfoResponse.fromPartial({}) }));
  t.equal(await saveSnapshot(members, { folder: t.testdir(), signal: never }), undefined);
});

/** Makes the agent of controller-1 accept a reset, and then restart after this number of GetInfo calls. */
function resettable(cluster: FakeCluster, { calls = 2, error }: { calls?: number; error?: KhwError } = {}) {
  const requests: ResetRequest[] = [];
  const found = cluster.members[1]?.node;
  if (found === undefined) throw new Error("there is no controller-1");
  let left = calls;
  const node = {
    ...found,
    removal: {
      ...unusedRemoval,
      reset: async (request: ResetRequest) => {
        cluster.log.push(request.checkOnly ? "controller-1 checked" : "controller-1 reset");
        requests.push(request);
        if (error !== undefined) throw error;
        return { changes: ["etcd is stopped and disabled"], left: [] };
      },
    },
    info: async () => {
      if (left-- > 1) return GetInfoResponse.fromPartial({ operation: Operation.fromPartial({ id: "a" }) });
      if (left === 0) throw new KhwError("UNREACHABLE", "connection refused");
      return GetInfoResponse.fromPartial({});
    },
  };
  return { node, requests };
}

const options = { caPem: "", purge: true, uninstall: false, progress: silent, signal: never };

t.test("a serving node is drained before its reset, and the command waits until the reset has finished", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const { node, requests } = resettable(cluster);
  const outcome = await resetNode(node, { ...options, cluster, wholeCluster: false });
  t.equal(outcome.changed, 1);
  t.strictSame(cluster.log, ["controller-1 checked", "controller-1 drained", "controller-1 reset"]);
  t.match(requests.slice(1), [{ node: "controller-1", clusterName: "kubernetes", purge: true, wholeCluster: false }]);
});

t.test("a node whose reset is refused is not drained", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const { node } = resettable(cluster, { error: new KhwError("WOULD_INTERRUPT", "no quorum") });
  await t.rejects(resetNode(node, { ...options, cluster, wholeCluster: false }), { code: "WOULD_INTERRUPT" });
  t.strictSame(cluster.log, ["controller-1 checked"]);
});

t.test("a reset of the whole cluster does not drain nodes, and an agent's refusal is passed on", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const { node } = resettable(cluster, { error: new KhwError("IDENTITY_MISMATCH", "another cluster") });
  await t.rejects(resetNode(node, { ...options, cluster, wholeCluster: true }), { code: "IDENTITY_MISMATCH" });
  t.strictSame(cluster.log, ["controller-1 reset"]);
});

t.test("the whole cluster stays as it is if one agent refuses the reset", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const requests: ResetRequest[] = [];
  const members = cluster.members.map(({ node, info }, index) => ({
    info: GetInfoResponse.fromPartial({ ...info, identity: { internalIp: `10.240.0.1${index}` } }),
    node: {
      ...node,
      removal: {
        ...unusedRemoval,
        reset: async (request: ResetRequest) => {
          requests.push(request);
          if (index === 1) throw new KhwError("IDENTITY_MISMATCH", "another cluster");
          return { changes: [], left: [] };
        },
      },
    },
  }));
  const all = { output: "text", nodes: [], all: true, yes: "kubernetes", withoutSnapshot: true } as const;
  const refused = resetAll({ ...cluster, members }, context, { ...all, purge: false, uninstall: false });
  await t.rejects(refused, { code: "IDENTITY_MISMATCH", node: "controller-1" });
  const clusterIps = ["10.240.0.10", "10.240.0.11"];
  t.match(requests, [
    { checkOnly: true, wholeCluster: true, clusterIps },
    { checkOnly: true, node: "controller-1" },
  ]);
  t.equal(requests.length, 2);
});
