import t from "tap";
import { drainNodes, undrainNodes } from "../../../../client/commands/drain.ts";
import { restartNodes, type RestartOptions } from "../../../../client/commands/restart.ts";
import type { Context } from "../../../../client/terminal/context.ts";
import { applyToNodes } from "../../../../client/rollout/apply.ts";
import { formatError, KhwError, toDetail } from "../../../../proto/errors.ts";
import type { DesiredState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster, type FakeCluster } from "../../../fakes/cluster.ts";

const names = ["controller-0", "controller-1", "controller-2"];

function terminal() {
  const lines: string[] = [];
  const interrupt = new AbortController();
  const context: Context = {
    write: (text) => void lines.push(text.trimEnd()),
    warn: () => {},
    terminal: false,
    env: {},
    signal: interrupt.signal,
  };
  const ctrlC = (): void => interrupt.abort(new KhwError("CANCELLED", "ended by SIGINT"));
  return { lines, context, ctrlC };
}

const output = "text";
const every: RestartOptions = { output, nodes: names.join(","), component: "kube-apiserver", force: false };

function node({ nodes }: FakeCluster, index: number) {
  const found = nodes[index];
  if (found === undefined) throw new Error(`no node ${index}`);
  return found;
}

t.test(
  "a drain waits until the health check reports the node as unhealthy, and drains and undrains can be repeated",
  async (t) => {
    const cluster = await createFakeCluster(names);
    const { context, lines } = terminal();
    for (const _ of [1, 2]) {
      t.equal(await drainNodes(cluster, context, { output, nodes: ["controller-1"], force: false }), 0);
      t.ok(node(cluster, 1).drained);
    }
    for (const _ of [1, 2]) t.equal(await undrainNodes(cluster, context, { output, nodes: ["controller-1"] }), 0);
    t.strictSame(cluster.log, ["controller-1 drained", "controller-1 undrained"]);
    t.match(lines[0], "controller-1: drain: node is being drained");
  },
);

t.test("a drain that would leave no serving node is refused with the reasons, unless forced", async (t) => {
  const cluster = await createFakeCluster(names);
  const { context } = terminal();
  node(cluster, 0).drained = true;
  node(cluster, 2).well = false;
  const options = { output, nodes: ["controller-1"], force: false } as const;
  const error = await drainNodes(cluster, context, options).catch((thrown: unknown) => thrown);
  t.match(error, {
    code: "WOULD_INTERRUPT",
    message:
      "no other node would be left to serve traffic: controller-0 is drained by jane at 1970-01-01 00:00:00; controller-2's kube-apiserver is not healthy (/readyz answers 500)",
    hint: /--force/,
  });
  t.strictSame(cluster.log, []);
  t.equal(await drainNodes(cluster, context, { ...options, force: true }), 0);
  t.strictSame(cluster.log, ["controller-1 drained"]);
  t.equal(await drainNodes(cluster, context, options), 0, "draining a drained node succeeds");
});

t.test("a node counts as serving only if both its agent and the load balancer report it as healthy", async (t) => {
  const cluster = await createFakeCluster(names);
  node(cluster, 1).reachable = false;
  node(cluster, 2).stuck = "UNHEALTHY";
  const drained = drainNodes(cluster, terminal().context, { output, nodes: ["controller-0"], force: false });
  await t.rejects(drained, {
    message: /controller-1 cannot be reached \(no answer\); Google's health check reports UNHEALTHY for controller-2$/,
  });
});

t.test(
  "if the health check does not change in time, the drain fails, and the error states the last reported health",
  async (t) => {
    const cluster = await createFakeCluster(names);
    node(cluster, 1).stuck = "HEALTHY";
    await t.rejects(drainNodes(cluster, terminal().context, { output, nodes: ["controller-1"], force: false }), {
      code: "TIMEOUT",
      node: "controller-1",
      step: "drain",
      message: "Google's health check still reports HEALTHY after 1 s",
    });
  },
);

t.test("without a load balancer, a drain does not wait for a health check, and a note says so", async (t) => {
  const cluster = await createFakeCluster(names, false);
  const { context, lines } = terminal();
  t.equal(await drainNodes(cluster, context, { output, nodes: ["controller-0,1"], force: false }), 0);
  t.match(lines.at(-1), /answer the health check with 503; .* so no load balancer was checked/);
});

t.test("a name that is not a controller of the cluster is refused, and the error lists the known names", async (t) => {
  const cluster = await createFakeCluster(names);
  await t.rejects(drainNodes(cluster, terminal().context, { output, nodes: ["controller-7"], force: false }), {
    code: "INVALID_ARGUMENT",
    message: "controller-7 is not a node of the cluster",
    hint: "the nodes are: controller-0, controller-1, controller-2",
  });
});

t.test("each node is drained, restarted and undrained before the next node is drained", async (t) => {
  const cluster = await createFakeCluster(names);
  t.equal(await restartNodes(cluster, terminal().context, every), 0);
  t.strictSame(
    cluster.log,
    names.flatMap((name) => [`${name} drained`, `${name} kube-apiserver restarted while drained`, `${name} undrained`]),
  );
});

t.test("a component that does not serve the load balancer is restarted without a drain", async (t) => {
  const cluster = await createFakeCluster(names);
  t.equal(await restartNodes(cluster, terminal().context, { ...every, component: "kube-scheduler" }), 0);
  t.strictSame(
    cluster.log,
    names.map((name) => `${name} kube-scheduler restarted`),
  );
});

t.test("a node that was drained before the restart stays drained, and a message says so", async (t) => {
  const cluster = await createFakeCluster(names);
  node(cluster, 1).drained = true;
  const { context, lines } = terminal();
  t.equal(await restartNodes(cluster, context, { ...every, nodes: "controller-1" }), 0);
  t.strictSame(cluster.log, ["controller-1 kube-apiserver restarted while drained"]);
  t.ok(
    lines.includes(
      "controller-1 is drained by jane at 1970-01-01 00:00:00, and stays drained; run khw-client undrain controller-1 to undrain it",
    ),
  );
});

t.test("a node whose API server does not start again stays drained, and the other nodes are not changed", async (t) => {
  const cluster = await createFakeCluster(names);
  const broken = node(cluster, 1);
  broken.restart = async () => {
    broken.well = false;
    throw new KhwError("NOT_READY", "kube-apiserver does not stay up", {
      node: "controller-1",
      hint: "see its journal",
    });
  };
  const { context, lines } = terminal();
  const error = await restartNodes(cluster, context, every).catch((thrown: unknown) => thrown);
  if (!(error instanceof KhwError)) throw new Error("it succeeded");
  t.equal(error.code, "PARTIAL");
  t.match(
    formatError(error),
    "see its journal; the node stays drained; once its API server is healthy, run `khw-client undrain controller-1`",
  );
  t.match(formatError(error), "controller-2: skipped because controller-1 failed; this node is unchanged");
  t.ok(broken.drained);
  t.notOk(cluster.log.some((line) => line.startsWith("controller-2")));
  t.match(lines.at(-1), /^controller-2: skipped/);
});

t.test("a node is undrained after a failed restart if its API server is healthy", async (t) => {
  const cluster = await createFakeCluster(names);
  node(cluster, 0).restart = async () => {
    throw new KhwError("BUSY", "controller-2 restarts its API server now");
  };
  await t.rejects(restartNodes(cluster, terminal().context, { ...every, nodes: "controller-0" }), { code: "BUSY" });
  t.notOk(node(cluster, 0).drained);
});

t.test("a busy node is not drained, and is not reported as drained", async (t) => {
  const cluster = await createFakeCluster(names);
  node(cluster, 0).busy = true;
  const error = await restartNodes(cluster, terminal().context, { ...every, nodes: "controller-0" }).catch(
    (thrown: unknown) => thrown,
  );
  t.match(error, { code: "BUSY", step: "drain", hint: undefined });
  t.strictSame(cluster.log, []);
});

t.test("a restart that would leave no healthy API server is refused, unless forced", async (t) => {
  const alone = await createFakeCluster(["controller-0"]);
  const one = { ...every, nodes: "controller-0" };
  await t.rejects(restartNodes(alone, terminal().context, one), { code: "WOULD_INTERRUPT", hint: /--force/ });
  t.strictSame(alone.log, []);
  t.equal(await restartNodes(alone, terminal().context, { ...one, force: true }), 0);
  t.strictSame(
    alone.log,
    ["controller-0 kube-apiserver restarted"],
    "the only node is restarted without a drain, because its clients have no other node",
  );
});

t.test(
  "the restart of an unhealthy component is allowed, because the restart does not reduce the capacity",
  async (t) => {
    const alone = await createFakeCluster(["controller-0"]);
    node(alone, 0).well = false;
    t.equal(await restartNodes(alone, terminal().context, { ...every, nodes: "controller-0" }), 0);
  },
);

t.test("etcd is not restarted if it would lose its quorum", async (t) => {
  const cluster = await createFakeCluster(names);
  const etcd = { ...every, nodes: "controller-0", component: "etcd" };
  t.equal(await restartNodes(cluster, terminal().context, etcd), 0);
  node(cluster, 2).well = false;
  await t.rejects(restartNodes(cluster, terminal().context, etcd), {
    message: "etcd would lose its quorum: 1 of 3 members would stay healthy",
  });
});

t.test("after Ctrl-C, the current node is finished and undrained, and no other node is restarted", async (t) => {
  const cluster = await createFakeCluster(names);
  const { context, lines, ctrlC } = terminal();
  node(cluster, 0).restart = async () => ctrlC();
  t.equal(await restartNodes(cluster, context, every), 130);
  t.strictSame(cluster.log, [
    "controller-0 drained",
    "controller-0 kube-apiserver restarted while drained",
    "controller-0 undrained",
  ]);
  t.ok(
    lines.some((line) =>
      /^interrupted: the command finishes and undrains controller-0 first;.*khw-client undrain controller-0/.test(line),
    ),
  );
  t.match(lines.at(-1), "controller-2: skipped because the command was interrupted before this node's turn");
});

t.test("after Ctrl-C during a drain, the node is undrained, and nothing is restarted", async (t) => {
  const cluster = await createFakeCluster(names);
  const { context, ctrlC } = terminal();
  node(cluster, 0).stuck = "HEALTHY";
  setTimeout(ctrlC, 100);
  t.equal(await restartNodes(cluster, context, every), 130);
  t.strictSame(cluster.log, ["controller-0 drained", "controller-0 undrained"]);
});

/** Performs a rollout on the fake nodes. Each agent reports one changed step, or fails with the given error. */
async function rollOver(cluster: FakeCluster, error?: KhwError, spared = names) {
  const members = cluster.members.map(({ node, ...rest }) => ({
    ...rest,
    node: {
      ...node,
      apply: async function* () {
        cluster.log.push(`${node.address.name} applied`);
        for (const fake of cluster.nodes) if (fake.name === node.address.name) fake.well = true;
        const value = {
          changedSteps: 1,
          error: error && toDetail(error),
        };
        yield { operationId: "", sequence: 1, timeUnixMillis: 0, kind: { $case: "operationFinished" as const, value } };
      },
    },
  }));
  const work = members.map(({ node }) => ({ node, desired: desiredOf(node.address.name), maintenance: undefined }));
  const restarting = new Set(members.map(({ node }) => node).filter(({ address }) => spared.includes(address.name)));
  const well = new Set(cluster.nodes.filter((fake) => fake.well).map(({ name }) => name));
  const serving = new Set(members.map(({ node }) => node).filter(({ address }) => well.has(address.name)));
  return applyToNodes({ ...cluster, members }, work, {
    progress: { emit: () => {}, settled: async () => {} },
    signal: terminal().context.signal,
    serving,
    inTurn: restarting,
    drain: restarting,
  });
}

function desiredOf(node: string): DesiredState {
  return {
    node,
    kubernetesVersion: "",
    binaries: undefined,
    cluster: undefined,
    flags: {},
    credentials: [],
    files: [],
    supervision: undefined,
  };
}

t.test("a rollout drains only the nodes that are serving and need a restart", async (t) => {
  const cluster = await createFakeCluster(names);
  const outcomes = await rollOver(cluster, undefined, ["controller-1"]);
  t.strictSame(
    outcomes.map(({ changed, error }) => [changed, error]),
    names.map(() => [1, undefined]),
  );
  t.strictSame(cluster.log, [
    "controller-0 applied",
    "controller-2 applied",
    "controller-1 drained",
    "controller-1 applied",
    "controller-1 undrained",
  ]);
});

t.test("a node that is not serving is changed before a serving node, which can then be drained", async (t) => {
  const cluster = await createFakeCluster(names.slice(0, 2));
  node(cluster, 1).well = false;
  t.match(await rollOver(cluster), [{ changed: 1 }, { changed: 1 }]);
  t.strictSame(cluster.log, [
    "controller-1 applied",
    "controller-0 drained",
    "controller-0 applied",
    "controller-0 undrained",
  ]);
});

t.test("a rollout that fails on a node with a healthy API server undrains that node", async (t) => {
  const cluster = await createFakeCluster(names);
  const outcomes = await rollOver(cluster, new KhwError("DOWNLOAD_FAILED", "no mirror delivered it"));
  t.match(outcomes, [
    { error: { code: "DOWNLOAD_FAILED", node: "controller-0" } },
    { error: { code: "SKIPPED" } },
    { error: { code: "SKIPPED" } },
  ]);
  t.strictSame(cluster.log, ["controller-0 drained", "controller-0 applied", "controller-0 undrained"]);
});

t.test("a rollout changes the only serving node without a drain", async (t) => {
  const cluster = await createFakeCluster(["controller-0"]);
  t.match(await rollOver(cluster), [{ changed: 1 }]);
  t.strictSame(cluster.log, ["controller-0 applied"]);
});
