import t from "tap";
import { findUnhealthy, startConfiguredUpgrade } from "../../../../client/upgrade/configured.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { DesiredState, DrainReason, Upgrade, UpgradeState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { EtcdMember, GetEtcdStatusResponse, Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

interface Options {
  /** The Kubernetes releases of the nodes. */
  readonly from?: readonly string[];
  readonly to?: string;
  /** The wanted etcd release; v3.4.23 is running. */
  readonly etcd?: string;
  readonly last?: Upgrade;
  readonly etcdAnswers?: boolean;
  readonly drained?: string;
}

/** A cluster of two controllers, and the plan to change its releases. */
async function scene(options: Options = {}) {
  const { from = ["v1.20.2", "v1.20.2"], to = "v1.21.0", etcd = "v3.4.23", last, etcdAnswers = true } = options;
  const fake = await createFakeCluster(["controller-0", "controller-1"]);
  for (const node of fake.nodes) {
    if (node.name === options.drained)
      Object.assign(node, { drained: true, reason: DrainReason.DRAIN_REASON_UNSPECIFIED });
  }
  const [records, purposes, notes]: [Upgrade[], string[], string[]] = [[], [], []];
  const member = EtcdMember.fromPartial({ leaderId: "1", memberId: "1", clusterId: "1" });
  const members = fake.members.map(({ node, ...rest }) => ({
    ...rest,
    node: {
      ...node,
      info: async () => ({ agentVersion: "0.1.0", identity: undefined, architecture: "amd64", clockUnixMillis: 0 }),
      recordUpgrade: async (upgrade: Upgrade) => {
        if (node.address.name === "controller-0") records.push(upgrade);
      },
      etcd: {
        ...node.etcd,
        status: async () => GetEtcdStatusResponse.fromPartial(etcdAnswers ? { member } : { reason: "refused" }),
        save: async (_: AbortSignal, purpose: string) => {
          purposes.push(purpose);
          return Snapshot.fromPartial({ id: "20261130T120000Z-controller-0", purpose });
        },
      },
    },
  }));
  const cluster = { ...fake, members };
  const names = ["controller-0", "controller-1"];
  const plan = {
    running: {
      kubernetes: from.map((version, index) => ({ node: names[index] ?? "?", version })),
      etcd: names.map((node) => ({ node, version: "v3.4.23" })),
      unknown: { kubernetes: [], etcd: [] },
      unread: [],
    },
    releases: { kubernetes: to, etcd },
    lastUpgrade: last,
    work: members.map(({ node }) => ({ node, desired: DesiredState.fromPartial({}), maintenance: undefined })),
    publicAddress: "127.0.0.1",
    admin: { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of(), server: "" },
  };
  const showing = {
    signal: never,
    progress: {
      emit: (event: { readonly kind: string; readonly text?: string }) => void notes.push(event.text ?? ""),
      settled: async () => {},
    },
  };
  return {
    records,
    purposes,
    notes,
    find: () => findUnhealthy(cluster, plan, showing),
    start: () => startConfiguredUpgrade(cluster, plan, showing),
  };
}

const { UPGRADE_STATE_RUNNING: running, UPGRADE_STATE_STOPPED: stopped, UPGRADE_STATE_DONE: done } = UpgradeState;

t.test("a change of the Kubernetes release takes a snapshot, and is recorded from the start to the end", async (t) => {
  const { records, purposes, start } = await scene();
  const run = await start();
  t.strictSame(purposes, ["upgrade from v1.20.2 to v1.21.0"]);
  t.equal(await run?.run(async () => "result"), "result");
  t.match(records, [
    { fromVersion: "v1.20.2", toVersion: "v1.21.0", state: running, snapshotId: "20261130T120000Z-controller-0" },
    { id: records[0]?.id, state: done },
  ]);
});

t.test("a failed change is recorded as stopped, with the error", async (t) => {
  const { records, start } = await scene();
  const run = await start();
  await t.rejects(run?.run(async () => Promise.reject(new KhwError("NOT_READY", "no answer"))) ?? Promise.resolve(), {
    message: "no answer",
  });
  t.match(records[1], { state: stopped, report: "no answer" });
});

t.test("an unfinished upgrade to the same release continues with its ID and its snapshot", async (t) => {
  const facts = { id: "u", fromVersion: "v1.20.2", toVersion: "v1.21.0", snapshotId: "s" };
  const last = Upgrade.fromPartial({ ...facts, state: stopped });
  const { records, purposes, start } = await scene({ from: ["v1.21.0", "v1.20.2"], last });
  await start();
  t.match(records, [{ id: "u", snapshotId: "s", state: running }]);
  t.strictSame(purposes, []);
});

t.test("if only the etcd release changes, a snapshot is taken, but no upgrade is recorded", async (t) => {
  const { records, purposes, start } = await scene({ to: "v1.20.2", etcd: "v3.5.30" });
  t.equal(await start(), undefined);
  t.strictSame([purposes, records], [["update of etcd from v3.4.23 to v3.5.30"], []]);
  const unchanged = await scene({ to: "v1.20.2" });
  t.equal(await unchanged.start(), undefined);
  t.strictSame(unchanged.purposes, []);
});

t.test(
  "without a snapshot, no change of the Kubernetes release begins, but an unfinished change continues",
  async (t) => {
    const { records, start } = await scene({ etcdAnswers: false });
    await t.rejects(start(), { code: "NOT_READY", message: /^no etcd member answers/ });
    t.strictSame(records, []);
    const unfinished = await scene({ etcdAnswers: false, from: ["v1.21.0", "v1.20.2"] });
    await unfinished.start();
    t.ok(unfinished.notes.some((text) => text.startsWith("warning: no snapshot was taken: no etcd member answers")));
    t.match(unfinished.records, [{ snapshotId: "", state: running }]);
  },
);

t.test("bootstrap prints the path", async (t) => {
  const { notes, start } = await scene();
  await start();
  t.ok(notes.includes("upgrade from v1.20.2 to v1.21.0: controller-0, then controller-1"), notes.join("\n"));
});

t.test("an upgrade whose client was killed is recorded as stopped once another release is applied", async (t) => {
  const facts = { id: "u", fromVersion: "v1.20.2", toVersion: "v1.21.0", state: running };
  const { records, start } = await scene({ to: "v1.20.2", last: Upgrade.fromPartial(facts) });
  t.equal(await start(), undefined);
  t.match(records, [{ id: "u", state: stopped, report: "abandoned: a later command applied v1.20.2" }]);
});

t.test("a drained node prevents the start of a change, but not its completion", async (t) => {
  const found = async (options: Options): Promise<string[]> => {
    const { find } = await scene({ drained: "controller-1", ...options });
    // The fake nodes' components are not enabled, so there are other findings as well.
    const drained = (await find()).filter(({ step }) => step === "maintenance");
    return drained.map(({ node = "?" }) => node);
  };
  t.strictSame(await found({}), ["controller-1"]);
  t.strictSame(await found({ from: ["v1.21.0", "v1.20.2"] }), []);
  t.strictSame(await found({ to: "v1.20.2" }), [], "the release does not change");
});
