import { once } from "node:events";
import { createServer } from "node:net";
import t, { type Test } from "tap";
import { controllerSteps } from "../../agent/steps.ts";
import { readManagementIdentity } from "../../client/cluster/channel.ts";
import { type AgentNode, connectNode } from "../../client/cluster/agent-client.ts";
import { createAuthority, type Identity, issue } from "../../client/pki/management/issue.ts";
import type { ProgressEvent } from "../../client/progress/progress.ts";
import { loadConfig } from "../../client/config/load.ts";
import { applyToNodes, type ApplyToNodesOptions } from "../../client/rollout/apply.ts";
import { operationId } from "../../client/rollout/apply-to-node.ts";
import { inspect } from "../../client/rollout/findings.ts";
import type { NodeWork } from "../../client/cluster/node-work.ts";
import { KhwError } from "../../proto/errors.ts";
import { GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { unusedEtcd, unusedRemoval } from "../fakes/etcd-calls.ts";
import { type AgentServer, startAgent } from "../fixtures/agent-server.ts";
import { labState } from "../fixtures/lab-cluster.ts";
import { applyAll, labDesired, labMachine, never } from "../fixtures/machine.ts";

interface Dial {
  readonly name?: string;
  readonly port?: number;
  readonly authority?: string;
  readonly identity?: Identity;
}

/** Connects to the agent with the client's real code, as an administrator unless the test specifies another role. */
async function dial(t: Test, agent: AgentServer, changes: Dial = {}): Promise<AgentNode> {
  const { certificate, key } = changes.identity ?? (await agent.identity("admin", "alice"));
  const node = connectNode(
    { name: changes.name ?? "controller-0", host: "127.0.0.1", port: changes.port ?? agent.port },
    {
      ca: Buffer.from(changes.authority ?? agent.authority.certificate),
      certificate: Buffer.from(certificate),
      key: Buffer.from(key),
    },
  );
  t.teardown(() => node.close());
  return node;
}

const config = await loadConfig({ file: undefined, flags: new Map(), folder: "/", env: {} });

/** Applies the work to the nodes of a cluster that has no load balancer. */
function apply(
  work: readonly NodeWork[],
  options: Partial<ApplyToNodesOptions> & Pick<ApplyToNodesOptions, "progress">,
  timeoutMillis = 30_000,
) {
  const cluster = { config: { ...config, timeouts: { ...config.timeouts, node: timeoutMillis } }, members: [] };
  return applyToNodes({ ...cluster, cloud: undefined }, work, {
    signal: never,
    serving: new Set(),
    inTurn: new Set(),
    drain: new Set(),
    ...options,
  });
}

async function start(t: Test, os = labMachine()): Promise<AgentServer> {
  const agent = await startAgent(os);
  t.teardown(() => agent[Symbol.asyncDispose]());
  return agent;
}

t.test("a client can read an agent's info, status and plan", async (t) => {
  const node = await dial(t, await start(t));
  t.match(await node.info(never), { agentVersion: "1.2.3", identity: { name: "controller-0" } });
  t.match(await node.status(never), { machine: { cpus: 2 } });
  t.equal(
    (await node.plan(labState(), never)).steps.find(({ drift }) => drift !== undefined)?.drift,
    "the folder does not exist",
  );
});

t.test("agents are called directly, even if the environment sets a proxy", async (t) => {
  const agent = await start(t);
  for (const variable of ["https_proxy", "http_proxy", "grpc_proxy"]) process.env[variable] = "http://127.0.0.1:9";
  t.teardown(() => {
    for (const variable of ["https_proxy", "http_proxy", "grpc_proxy"]) Reflect.deleteProperty(process.env, variable);
  });
  const node = await dial(t, agent);
  t.match(await node.info(never), { agentVersion: "1.2.3" });
});

t.test("the client refuses a server whose certificate is for another node or from another CA", async (t) => {
  const agent = await start(t);
  const other = await dial(t, agent, { name: "controller-1" });
  await t.rejects(other.info(never), {
    code: "WRONG_NODE",
    node: "controller-1",
    message: /has a certificate for another node/,
  });
  const { certificate } = await createAuthority(new Date());
  const stranger = await dial(t, agent, { authority: certificate });
  await t.rejects(stranger.info(never), { code: "WRONG_NODE", message: /is not trusted/ });
});

t.test("a port without a listener is immediately reported as unreachable", async (t) => {
  const agent = await start(t);
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  server.close();
  await once(server, "close");
  const node = await dial(t, agent, { port });
  const began = Date.now();
  await t.rejects(node.info(never), { code: "UNREACHABLE", node: "controller-0", message: new RegExp(`:${port}`) });
  t.ok(Date.now() - began < 5_000);
});

t.test("a refused caller gets the agent's error message and hint", async (t) => {
  const agent = await start(t);
  const now = new Date();
  const stranger = await issue(await createAuthority(now), { name: "eve", role: "admin", days: 1 }, now);
  const at = (days: number) => new Date(now.getTime() + days * 86_400_000);
  const late = await issue(agent.authority, { name: "late", role: "admin", days: 1 }, at(-2));
  const early = await issue(agent.authority, { name: "early", role: "admin", days: 1 }, at(2));
  for (const [identity, message, hint] of [
    [stranger, /not signed by the management CA that the agent trusts/, /`management` in khw\.yaml/],
    [late, /certificate expired at 20\S+$/, /pki issue.*the agent's clock says 20/],
    [early, /not valid before 20\S+$/, /the agent's clock says 20/],
    [agent.own, /not issued for callers/, /pki issue/],
  ] as const) {
    const refused = await dial(t, agent, { identity });
    const expected = { code: "UNAUTHENTICATED", node: "controller-0", message, hint } as const;
    await t.rejects(refused.info(never), expected);
    await t.rejects(async () => {
      for await (const _ of refused.watch(never)) t.fail("a message");
    }, expected);
  }
  const viewer = await dial(t, agent, { identity: await agent.identity("viewer") });
  await t.rejects(viewer.preflight(labState(), never), { code: "PERMISSION_DENIED", hint: /khw:admin/ });
});

t.test("an agent's error reaches the client with its code, message, hint and node name", async (t) => {
  const agent = await start(t);
  const node = await dial(t, agent);
  await t.rejects(node.plan(labState({ kubernetesVersion: "v9.99.0" }), never), {
    code: "INVALID_ARGUMENT",
    node: "controller-0",
    message: /^kubernetes_version: /,
    hint: /./,
  });
});

t.test("a call that the caller aborts before or during the call ends with CANCELLED", async (t) => {
  const os = labMachine();
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  const agent = await start(t, {
    ...os,
    machine: {
      read: () => {
        ask();
        return new Promise(() => {});
      },
    },
  });
  const node = await dial(t, agent);
  await t.rejects(node.info(AbortSignal.abort()), { code: "CANCELLED", node: "controller-0" });
  const giving = new AbortController();
  const call = node.status(giving.signal);
  await asked;
  giving.abort();
  await t.rejects(call, { code: "CANCELLED" });
});

t.test("an unreadable management identity is reported with its path", async (t) => {
  const path = "/nonexistent/admin.pem";
  await t.rejects(readManagementIdentity({ ca: path, certificate: path, key: path }), {
    code: "CREDENTIAL_INVALID",
    message: /\/nonexistent\/admin\.pem/,
    hint: /pki init/,
  });
});

t.test("a rollout shows every event and returns each node's outcome", async (t) => {
  const good = await dial(t, await start(t));
  const os = labMachine();
  os.mirror.clear();
  const bad = await dial(t, await start(t, os));
  const shown: ProgressEvent[] = [];
  const progress = { emit: (event: ProgressEvent) => void shown.push(event), settled: async () => {} };
  const outcomes = await apply(
    [good, bad].map((node) => ({ node, desired: labState(), maintenance: undefined })),
    { progress },
  );
  t.match(outcomes[0], { node: good, changed: Number, error: undefined });
  t.match(outcomes[1], {
    node: bad,
    error: { code: "DOWNLOAD_FAILED", node: "controller-0", step: "release/kube-apiserver" },
  });
  t.equal(shown.filter(({ kind }) => kind === "end").length, 2);
  const sequence = shown.flatMap((event) => (event.kind === "node" ? event.event.kind?.$case : []));
  t.equal(sequence.filter((kind) => kind === "operationStarted").length, 2);
  t.equal(sequence.filter((kind) => kind === "operationFinished").length, 2);
});

t.test("a sequential rollout changes one node at a time and stops at the first failure", async (t) => {
  const broken = labMachine();
  broken.mirror.clear();
  const machines = [labMachine(), labMachine(), broken, labMachine()];
  const nodes = await Promise.all(machines.map(async (os) => dial(t, await start(t, os))));
  const order: (string | undefined)[] = [];
  const emit = (event: ProgressEvent): void => {
    const kind = event.kind === "node" ? event.event.kind?.$case : event.kind;
    if (kind === "operationStarted" || kind === "end") order.push(kind);
  };
  const outcomes = await apply(
    nodes.map((node) => ({ node, desired: labState(), maintenance: undefined })),
    { progress: { emit, settled: async () => {} }, inTurn: new Set(nodes) },
  );
  t.strictSame(
    outcomes.map(({ error }) => error?.code),
    [undefined, undefined, "DOWNLOAD_FAILED", "SKIPPED"],
  );
  t.strictSame(order, [...Array.from({ length: 3 }, () => ["operationStarted", "end"]).flat(), "end"]);
  t.strictSame(machines[3]?.changes(), [], "the last node is unchanged");
});

t.test("a rollout that times out reports the last step, and the node continues its operation", async (t) => {
  const os = labMachine();
  const nginx = os.repository.get("nginx");
  os.repository.delete("nginx");
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  if (nginx !== undefined) os.repository.set("nginx", nginx);
  const { promise: end, resolve: finish } = Promise.withResolvers<void>();
  const agent = await start(t, {
    ...os,
    packages: {
      ...os.packages,
      install: async (...[name, context]: Parameters<typeof os.packages.install>) => {
        context.progress("Unpacking nginx");
        await end;
        await os.packages.install(name, context);
      },
    },
  });
  const node = await dial(t, agent);
  const progress = { emit: () => {}, settled: async () => {} };
  const work = [{ node, desired: labState(), maintenance: undefined }];
  const [late] = await apply(work, { progress }, 5_000);
  t.match(late?.error, {
    code: "TIMEOUT",
    node: "controller-0",
    message: /^not done after 5 s, last progress: package\/nginx: Unpacking nginx$/,
  });
  const leaving = new AbortController();
  const detached = apply(work, { progress, signal: leaving.signal });
  leaving.abort();
  t.match((await detached)[0]?.error, { code: "CANCELLED" });
  const attached = apply(work, { progress });
  finish();
  t.match((await attached)[0], { error: undefined });
});

t.test(
  "equal desired states have the same operation ID, and different desired states have different IDs",
  async (t) => {
    t.match(operationId(labState()), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    t.equal(operationId(labState()), operationId(labState()));
    t.not(operationId(labState()), operationId(labState({ kubernetesVersion: "v1.21.1" })));
  },
);

/** Creates a node whose clock is ahead by this many milliseconds and whose Preflight answer is delayed. */
function clockNode(name: string, aheadMillis: number, findings: readonly string[] = []): AgentNode {
  const unused = () => Promise.reject(new Error("not called in this test"));
  const unheard = () => {
    throw new Error("not called in this test");
  };
  return {
    address: { name, host: "127.0.0.1", port: 1 },
    info: unused,
    status: async () => GetStatusResponse.fromPartial({}),
    plan: async () => ({ steps: [] }),
    applyRbac: unused,
    tryPrograms: unused,
    inspectApi: unused,
    hardening: unused,
    probeBackends: unused,
    tryCertificate: unused,
    recordUpgrade: unused,
    upgradeAgent: unused,
    preflight: async () => ({
      findings: findings.map((message) => ({ code: "PREFLIGHT_FAILED", message, hint: "", node: "", step: "" })),
      warnings: [],
      clockUnixMillis: Math.round(Date.now() + aheadMillis),
      programs: [],
    }),
    apply: unheard,
    prepare: unheard,
    watch: unheard,
    logs: unheard,
    history: unheard,
    audit: unheard,
    drift: unused,
    restart: unused,
    setMaintenance: unused,
    etcd: unusedEtcd,
    removal: unusedRemoval,
    storedValues: unused,
    storedVersions: unused,
    close: () => {},
  };
}

function workOf(nodes: readonly AgentNode[]): NodeWork[] {
  return nodes.map((node) => ({ node, desired: labState(), maintenance: undefined }));
}

t.test("clocks that differ by more than 30 s from the first node's clock are reported", async (t) => {
  const found = async (...aheads: number[]): Promise<string[]> => {
    const nodes = aheads.map((ahead, index) => clockNode(`controller-${index}`, ahead));
    const { findings } = await inspect([], workOf(nodes), never);
    return findings.map(({ code, node, message }) => `${code} ${node}: ${message}`);
  };
  t.strictSame(await found(0, 0, 0), []);
  t.strictSame(await found(0, 29_000, -29_000), []);
  t.strictSame(await found(3_600_000, 3_600_000), [], "clocks that are wrong by the same amount are accepted");
  t.strictSame(await found(90_000), [], "a single node's clock is not compared with any other clock");
  t.strictSame(await found(0, 32_000, -60_000), [
    "PREFLIGHT_FAILED controller-1: its clock is 32 s ahead of that of controller-0",
    "PREFLIGHT_FAILED controller-2: its clock is 60 s behind that of controller-0",
  ]);
});

t.test("all preflight findings of all nodes are reported with the node's name", async (t) => {
  const nodes = [clockNode("controller-0", 0, ["a", "b"]), clockNode("controller-1", 0, ["c"])];
  const { findings } = await inspect([], workOf(nodes), never);
  t.ok(findings.every((finding) => finding instanceof KhwError));
  t.strictSame(
    findings.map(({ node, message }) => `${node}: ${message}`),
    ["controller-0: a", "controller-0: b", "controller-1: c"],
  );
});
