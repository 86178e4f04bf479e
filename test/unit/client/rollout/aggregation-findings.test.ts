import t from "tap";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { aggregationFindings } from "../../../../client/rollout/aggregation-findings.ts";
import { inspectCluster } from "../../../../client/rollout/findings.ts";
import { type ErrorCode, KhwError } from "../../../../proto/errors.ts";
import { ApiBackend, GetStatusResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { credentialsOf, labState } from "../../../fixtures/lab-cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const admin = { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of(), server: "" };
const backend = (failure: string, changes: Partial<ApiBackend> = {}): ApiBackend =>
  ApiBackend.fromPartial({
    kind: "ValidatingWebhookConfiguration",
    name: "policy/example.com",
    service: "default/policy",
    required: true,
    endpoints: [{ address: "10.200.1.5", port: 8443, failure }],
    ...changes,
  });

interface Situation {
  /** Whether the running API server has the aggregation layer. */
  readonly running: boolean | undefined;
  readonly wanted: boolean;
  readonly backends?: readonly ApiBackend[];
  readonly flag?: string;
  /** The error code with which the request for backends fails. */
  readonly fails?: ErrorCode;
}

/** Returns the planned work for nodes in these situations, and the names of the nodes that are asked for backends. */
async function nodesIn(situations: readonly Situation[]) {
  const { members } = await createFakeCluster(situations.map((_, index) => `controller-${index}`));
  const asked: string[] = [];
  const work = situations.flatMap(({ running, wanted, backends = [], flag, fails }, index) => {
    const plain = members[index]?.node;
    if (plain === undefined) return [];
    const routing = running === true ? ["--enable-aggregator-routing=true"] : [];
    const components = running === undefined ? [] : [{ name: "kube-apiserver", arguments: ["--v=2", ...routing] }];
    const node: AgentNode = {
      ...plain,
      hardening: async () => ({ components, files: [], encryptionProviders: [] }),
      probeBackends: async () => {
        asked.push(plain.address.name);
        if (fails !== undefined) throw new KhwError(fails, "the API server does not answer");
        return [...backends];
      },
    };
    const flags =
      flag === undefined ? {} : { "kube-apiserver": { set: { "enable-aggregator-routing": flag }, remove: [] } };
    const desired = labState({ credentials: credentialsOf({ aggregation: wanted }), flags });
    return [{ node, desired, maintenance: undefined }];
  });
  return { work, asked };
}

/** Returns the findings, and the number of nodes that were asked for backends. */
async function findings(...situations: readonly Situation[]) {
  const { work, asked } = await nodesIn(situations);
  const { obstacles, warnings } = await aggregationFindings(work, { admin, signal: never });
  const found = obstacles.map(({ node, message, hint }) => ({ node, message, hint }));
  return { asked: asked.length, found, warnings: warnings.map(({ node, message }) => `${node}: ${message}`) };
}

t.test("no backend is probed if the aggregation layer does not change", async (t) => {
  const dead = [backend("ETIMEDOUT")];
  for (const situation of [
    { running: true, wanted: true },
    { running: false, wanted: false },
    { running: undefined, wanted: true },
    { running: false, wanted: true, flag: "true" },
  ]) {
    t.strictSame(await findings({ ...situation, backends: dead }), { asked: 0, found: [], warnings: [] });
  }
});

t.test("the aggregation layer cannot be turned on while the controller cannot reach a required backend", async (t) => {
  const { found } = await findings({ running: false, wanted: true, backends: [backend("ETIMEDOUT"), backend("")] });
  t.match(found, [
    {
      node: "controller-0",
      message:
        /ValidatingWebhookConfiguration policy\/example\.com would become unreachable.*10\.200\.1\.5:8443.*ETIMEDOUT/,
      hint: /khw-client doctor/,
    },
  ]);
  t.equal(found.length, 1, "a reachable backend is not an obstacle");
  const broken = backend("", { reason: "the service default/policy has no ready endpoint", endpoints: [] });
  const optional = backend("ETIMEDOUT", { required: false });
  t.strictSame((await findings({ running: false, wanted: true, backends: [broken, optional] })).found, []);
});

t.test("the aggregation layer cannot be turned off while a webhook or an APIService refers to a service", async (t) => {
  const service = backend("", { kind: "APIService", name: "v1.example.com" });
  const { found } = await findings({
    running: true,
    wanted: false,
    backends: [backend(""), service, backend("", { required: false })],
  });
  t.match(found, [
    {
      message: /policy\/example\.com would become unreachable: .*default\/policy.*kube-proxy/,
      hint: /aggregation: true/,
    },
    { message: /APIService v1\.example\.com/, hint: /delete the APIService/ },
  ]);
  t.equal(found.length, 2, "a webhook with failurePolicy Ignore blocks no request");
  t.strictSame((await findings({ running: true, wanted: false })).found, []);
});

t.test("the change is refused if the backends cannot be checked", async (t) => {
  const silent: Situation = { running: true, wanted: false, fails: "UNREACHABLE" };
  const { found, warnings } = await findings(silent, { ...silent, running: false });
  t.match(found, [{ node: "controller-0", message: /does not answer/ }]);
  t.strictSame(warnings, [], "an API server that was not queried does not count as a response");
});

t.test(
  "a silent API server causes only a warning if another API server responds, but a refusal stops the change",
  async (t) => {
    const answers: Situation = { running: false, wanted: true };
    const quiet = await findings({ ...answers, fails: "UNREACHABLE" }, answers);
    t.strictSame(quiet.found, []);
    t.strictSame(quiet.warnings, [
      "controller-0: the webhooks and APIServices were not tested from this node: the API server does not answer",
    ]);
    const dead = await findings({ ...answers, fails: "UNREACHABLE" }, { ...answers, backends: [backend("ETIMEDOUT")] });
    t.match(dead.found, [{ node: "controller-1", message: /would become unreachable/ }]);
    const refused = await findings({ ...answers, fails: "VERIFY_FAILED" }, answers);
    t.match(refused.found, [{ node: "controller-0", message: /does not answer/ }]);
  },
);

t.test("an API server that is not ready is not queried, even if the node's etcd restarts", async (t) => {
  const silent: Situation = { running: false, wanted: true, fails: "UNREACHABLE" };
  const { work, asked } = await nodesIn([silent, { ...silent, running: true }]);
  const differ = [["service/etcd", "service/kube-apiserver", "ready/kube-apiserver"], ["service/etcd"]];
  const restarting = work.map((item, index) => ({
    ...item,
    node: {
      ...item.node,
      preflight: async () => ({ findings: [], warnings: [], clockUnixMillis: Date.now(), programs: [] }),
      plan: async () => ({ steps: (differ[index] ?? []).map((id) => ({ id, title: id, drift: "differs" })) }),
      // No component is running.
      status: async () => GetStatusResponse.fromPartial({}),
      storedVersions: async () => [],
    },
  }));
  const running = { kubernetes: [], etcd: [], unknown: { kubernetes: [], etcd: [] }, unread: [] };
  const checks = { work: restarting, admin, running, wanted: "v1.21.0", allowRemovedApis: false };
  const members = restarting.map(({ node }) => ({ node }));
  const inspection = await inspectCluster(members, checks, never);
  t.strictSame(inspection.findings, [], "the change may be the repair that the API server needs");
  t.equal(inspection.restarting.size, 2, "the other checks still cover both nodes");
  t.strictSame(asked, []);
});
