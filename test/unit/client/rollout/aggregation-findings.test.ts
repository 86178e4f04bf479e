import t from "tap";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { aggregationFindings } from "../../../../client/rollout/aggregation-findings.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { ApiBackend } from "../../../../proto/gen/khw/agent/v1/agent.ts";
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
  /** Whether the running API server has the layer. */
  readonly running: boolean | undefined;
  readonly wanted: boolean;
  readonly backends?: readonly ApiBackend[];
  readonly flag?: string;
  readonly fails?: boolean;
}

/** Returns the findings, and whether the agent was asked for backends. */
async function findings({ running, wanted, backends = [], flag, fails = false }: Situation) {
  const { members } = await createFakeCluster(["controller-0"]);
  const asked: string[] = [];
  const work = members.map(({ node: plain }) => {
    const routing = running === true ? ["--enable-aggregator-routing=true"] : [];
    const components = running === undefined ? [] : [{ name: "kube-apiserver", arguments: ["--v=2", ...routing] }];
    const node: AgentNode = {
      ...plain,
      hardening: async () => ({ components, files: [], encryptionProviders: [] }),
      probeBackends: async () => {
        asked.push("backends");
        if (fails) throw new KhwError("UNREACHABLE", "the API server does not answer");
        return [...backends];
      },
    };
    const flags =
      flag === undefined ? {} : { "kube-apiserver": { set: { "enable-aggregator-routing": flag }, remove: [] } };
    return {
      node,
      desired: labState({ credentials: credentialsOf({ aggregation: wanted }), flags }),
      maintenance: undefined,
    };
  });
  const found = await aggregationFindings(work, { admin, signal: never });
  return { asked: asked.length, found: found.map(({ node, message, hint }) => ({ node, message, hint })) };
}

t.test("without a change of the layer, no backend is tried", async (t) => {
  const dead = [backend("ETIMEDOUT")];
  for (const situation of [
    { running: true, wanted: true },
    { running: false, wanted: false },
    { running: undefined, wanted: true },
    { running: false, wanted: true, flag: "true" },
  ]) {
    t.strictSame(await findings({ ...situation, backends: dead }), { asked: 0, found: [] });
  }
});

t.test("turning the layer on is refused for a backend that the controller cannot reach", async (t) => {
  const { found } = await findings({ running: false, wanted: true, backends: [backend("ETIMEDOUT"), backend("")] });
  t.match(found, [
    {
      node: "controller-0",
      message:
        /ValidatingWebhookConfiguration policy\/example\.com would become unreachable.*10\.200\.1\.5:8443.*ETIMEDOUT/,
      hint: /khw-client doctor/,
    },
  ]);
  t.equal(found.length, 1, "a reachable backend is no obstacle");
  const broken = backend("", { reason: "the service default/policy has no ready endpoint", endpoints: [] });
  const optional = backend("ETIMEDOUT", { required: false });
  t.strictSame((await findings({ running: false, wanted: true, backends: [broken, optional] })).found, []);
});

t.test("turning the layer off is refused for every webhook and APIService that names a service", async (t) => {
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

t.test("backends that cannot be checked stop the change", async (t) => {
  const { found } = await findings({ running: true, wanted: false, fails: true });
  t.match(found, [{ node: "controller-0", message: /does not answer/ }]);
});
