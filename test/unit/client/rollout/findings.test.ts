import t from "tap";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { inspect } from "../../../../client/rollout/findings.ts";
import { planRollout } from "../../../../client/rollout/plan.ts";
import { KhwError } from "../../../../proto/errors.ts";
import {
  DesiredState,
  DrainReason,
  GetInfoResponse,
  GetStatusResponse,
  Maintenance,
  OperationState,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

interface Node {
  readonly findings?: readonly string[];
  /** Whether another operation is running on the node. */
  readonly busy?: boolean;
  readonly planFails?: boolean;
  /** The ids of the steps that differ. */
  readonly differ?: readonly string[];
  readonly drainedFor?: DrainReason;
  /** Whether the desired state has a KMS plugin, and whether the agent has a step for this plugin. */
  readonly kms?: "known" | "unknown";
}

/**
 * Inspects nodes with these responses. Returns each finding with its node, and the nodes that received a Preflight
 * call.
 */
async function inspected(...nodes: readonly Node[]) {
  const { members: plain } = await createFakeCluster(nodes.map((_, index) => `controller-${index}`));
  const asked: string[] = [];
  const members = plain.map(({ node }, index) => {
    const { findings = [], busy = false, planFails = false, differ = [], kms } = nodes[index] ?? {};
    const agent: AgentNode = {
      ...node,
      preflight: async () => {
        asked.push(node.address.name);
        return {
          findings: findings.map((message) => ({ code: "PREFLIGHT_FAILED", message, hint: "", node: "", step: "" })),
          warnings: [],
          clockUnixMillis: Date.now(),
          programs: [],
        };
      },
      plan: async () => {
        if (planFails) throw new KhwError("IO_FAILED", "the disk does not answer");
        const plugin = kms === "known" ? [{ id: "kms/plugin", title: "the KMS plugin" }] : [];
        return { steps: [...plugin, ...differ.map((id) => ({ id, title: id, drift: "differs" }))] };
      },
      // No component is running.
      status: async () => GetStatusResponse.fromPartial({}),
    };
    const state = OperationState.OPERATION_STATE_RUNNING;
    const operation = busy ? { id: "another", holder: "jane", startedUnixMillis: 0, state } : undefined;
    return { node: agent, info: GetInfoResponse.fromPartial({ operation }) };
  });
  const work = members.map(({ node }, index) => ({
    node,
    desired: DesiredState.fromPartial({
      node: node.address.name,
      ...(nodes[index]?.kms !== undefined && { kms: { unit: "vault.service", socket: "/run/kms/socket" } }),
    }),
    maintenance: maintenanceOf(nodes[index] ?? {}),
  }));
  const { findings, restarting, serving, drained, left } = await inspect(members, work, never);
  const named = (nodes: Iterable<AgentNode>): string[] => Array.from(nodes, ({ address }) => address.name);
  return {
    asked,
    findings: findings.map(({ code, node, message }) => `${node} ${code}: ${message}`),
    restarting: named(restarting),
    serving: named(serving),
    drained: named(drained.keys()),
    left: named(left),
  };
}

function maintenanceOf({ drainedFor: reason }: Node): Maintenance {
  return Maintenance.fromPartial(reason === undefined ? { drained: false } : { drained: true, reason });
}

t.test("an older agent that would ignore the KMS plugin is refused before anything changes", async (t) => {
  const { findings, restarting } = await inspected({ kms: "known" }, { kms: "unknown", differ: ["service/etcd"] }, {});
  t.match(findings, [/^controller-1 VERSION_SKEW: its agent is too old to watch the KMS plugin/]);
  t.strictSame(restarting, []);
});

t.test(
  "without obstacles, the result lists the serving nodes and the nodes whose API server would restart",
  async (t) => {
    const { findings, restarting, serving } = await inspected(
      { differ: ["service/kube-apiserver"] },
      { differ: ["service/kube-apiserver", "ready/kube-apiserver"] },
      { differ: ["service/etcd"] },
      {},
    );
    t.strictSame(findings, []);
    t.strictSame(restarting, ["controller-0", "controller-2"]);
    t.strictSame(serving, ["controller-0", "controller-2", "controller-3"]);
  },
);

t.test("a node drained by a person is distinguished from a node left drained by a rolling update", async (t) => {
  const { drained, left } = await inspected(
    { drainedFor: DrainReason.DRAIN_REASON_PERSON },
    { drainedFor: DrainReason.DRAIN_REASON_ROLLING_UPDATE },
    { drainedFor: DrainReason.DRAIN_REASON_ROLLING_UPDATE, differ: ["ready/kube-apiserver"] },
    {},
  );
  t.strictSame(drained, ["controller-0"]);
  t.strictSame(left, ["controller-1", "controller-2"]);
});

t.test("obstacles of different kinds on different nodes are reported in a single list", async (t) => {
  const { findings, asked } = await inspected({ busy: true }, { findings: ["a", "b"] }, { planFails: true });
  t.strictSame(findings, [
    "controller-0 BUSY: the node is busy: jane has held the machine lock since 1970-01-01T00:00:00.000Z",
    "controller-1 PREFLIGHT_FAILED: a",
    "controller-1 PREFLIGHT_FAILED: b",
    "controller-2 IO_FAILED: the disk does not answer",
  ]);
  t.strictSame(asked, ["controller-1", "controller-2"], "preflight is not run on a busy node");
});

t.test("if preflight has findings for a node, a failure of this node's plan is not reported", async (t) => {
  const { findings } = await inspected({ findings: ["a"], planFails: true });
  t.strictSame(findings, ["controller-0 PREFLIGHT_FAILED: a"]);
});

t.test("if no agent responds, no plan is made, and a single error has the reason for each node", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const members = cluster.members.map(({ node }) => ({
    node,
    error: new KhwError("UNREACHABLE", "no answer", { node: node.address.name }),
  }));
  const options = { mayCreateAddress: false, newCredentials: "refuse", unreachable: "skip" } as const;
  const progress = { emit: () => {}, settled: async () => {} };
  await t.rejects(planRollout({ ...cluster, members }, { ...options, progress, signal: never }), {
    code: "UNREACHABLE",
    message: "no node can be changed:\n  controller-0, controller-1: no answer",
  });
});
