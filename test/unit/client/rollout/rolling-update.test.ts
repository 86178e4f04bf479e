import t from "tap";
import type { NodeOutcome } from "../../../../client/rollout/one-by-one.ts";
import { rollNodes } from "../../../../client/rollout/rolling-update.ts";
import { type ErrorDetail, DesiredState, DrainReason } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const names = ["controller-0", "controller-1", "controller-2"];

/** Creates fake nodes whose Apply operations succeed or fail. `applied` is called after each apply. */
async function scene(options: Options = {}) {
  const { down = [], failing = "", applied = () => {}, left = [], person = "", unchanged = [], between } = options;
  const cluster = await createFakeCluster(names);
  for (const node of cluster.nodes) {
    node.drained = left.includes(node.name) || node.name === person;
    if (left.includes(node.name)) node.reason = DrainReason.DRAIN_REASON_ROLLING_UPDATE;
  }
  const error: ErrorDetail = { code: "NOT_READY", message: "no answer", hint: "", node: "", step: "" };
  const members = cluster.members.map(({ node, ...rest }) => ({
    ...rest,
    node: {
      ...node,
      apply: async function* () {
        cluster.log.push(`${node.address.name} applied`);
        applied(node.address.name);
        const changedSteps = unchanged.includes(node.address.name) ? 0 : 1;
        const value = { changedSteps, error: node.address.name === failing ? error : undefined };
        yield { operationId: "", sequence: 1, timeUnixMillis: 0, kind: { $case: "operationFinished" as const, value } };
      },
    },
  }));
  const nodes = members.map(({ node }) => node);
  const serving = new Set(nodes.filter(({ address }) => !down.includes(address.name)));
  const work = nodes.map((node) => ({
    node,
    desired: DesiredState.fromPartial({ node: node.address.name }),
    maintenance: undefined,
  }));
  const leftNodes: ReadonlySet<AgentNode> = new Set(nodes.filter(({ address }) => left.includes(address.name)));
  const ended: string[] = [];
  const interrupt = new AbortController();
  return {
    log: cluster.log,
    nodes: cluster.nodes,
    ended,
    interrupt,
    roll: () =>
      rollNodes(
        { ...cluster, members },
        {
          work,
          serving,
          restarting: new Set([...serving].filter(({ address }) => !unchanged.includes(address.name))),
          updating: new Set(options.updating === true ? nodes : []),
          left: leftNodes,
        },
        {
          noRollback: false,
          between,
          signal: interrupt.signal,
          progress: {
            emit: (event) => {
              if (event.kind === "end") ended.push(`${event.track} ${event.error?.code ?? "done"}`);
            },
            settled: async () => {},
          },
        },
      ),
  };
}

interface Options {
  readonly down?: readonly string[];
  readonly failing?: string;
  /** The nodes that an earlier rolling update has left drained. */
  readonly left?: readonly string[];
  /** The node that a person has drained. */
  readonly person?: string;
  /** The nodes that already have the desired state. */
  readonly unchanged?: readonly string[];
  /** Whether the Kubernetes release of all nodes changes. */
  readonly updating?: boolean;
  readonly between?: (done: readonly NodeOutcome[]) => Promise<void>;
  readonly applied?: (name: string) => void;
}

t.test("each serving node is drained, changed and undrained before the next node is drained", async (t) => {
  const { log, ended, roll } = await scene();
  t.match(await roll(), [{ changed: 1 }, { changed: 1 }, { changed: 1 }]);
  t.strictSame(
    log,
    names.flatMap((name) => [`${name} drained`, `${name} applied`, `${name} undrained`]),
  );
  t.strictSame(
    ended,
    names.map((name) => `${name} done`),
  );
});

t.test("nodes that are not serving are updated first and without a drain", async (t) => {
  const { log, roll } = await scene({ down: ["controller-1", "controller-2"] });
  await roll();
  t.strictSame(log.slice(0, 2), ["controller-1 applied", "controller-2 applied"]);
  t.equal(log.at(2), "controller-0 drained");
});

t.test("the first failure stops the update, and each of the other nodes is reported with the reason", async (t) => {
  const { log, ended, roll } = await scene({ failing: "controller-1" });
  await roll();
  t.notOk(log.some((line) => line.startsWith("controller-2")));
  t.strictSame(ended, ["controller-0 done", "controller-1 NOT_READY", "controller-2 SKIPPED"]);
});

t.test("after Ctrl-C, the current node is finished and undrained, and no other node is started", async (t) => {
  const options = { applied: () => interrupt.abort() };
  const { log, ended, roll, interrupt } = await scene(options);
  await roll();
  t.strictSame(log, ["controller-0 drained", "controller-0 applied", "controller-0 undrained"]);
  t.strictSame(ended, ["controller-0 done", "controller-1 CANCELLED", "controller-2 CANCELLED"]);
});

t.test("a node left drained by an earlier rolling update is undrained after its update", async (t) => {
  const { log, nodes, roll } = await scene({ left: ["controller-1"] });
  t.match(await roll(), [{ error: undefined }, { error: undefined }, { error: undefined }]);
  t.strictSame(
    log.filter((line) => line.startsWith("controller-1")),
    ["controller-1 applied", "controller-1 undrained"],
  );
  t.notOk(nodes[1]?.drained);
});

t.test("a node that a person drained is updated, and stays drained", async (t) => {
  const { log, nodes, roll } = await scene({ person: "controller-1" });
  t.match(await roll(), [{ error: undefined }, { error: undefined }, { error: undefined }]);
  t.strictSame(
    log.filter((line) => line.startsWith("controller-1")),
    ["controller-1 applied"],
  );
  t.ok(nodes[1]?.drained);
});

t.test("a node that a person drains during its update stays drained, and the error is reported at once", async (t) => {
  const options = {
    applied: (name: string) => {
      const [first] = nodes;
      if (name === "controller-0" && first !== undefined) first.reason = DrainReason.DRAIN_REASON_PERSON;
    },
  };
  const { nodes, ended, roll } = await scene(options);
  t.match((await roll())[0], {
    error: { code: "DRAINED", message: /drained by jane at 1970/, hint: "run khw-client undrain controller-0" },
  });
  t.ok(nodes[0]?.drained);
  t.strictSame(ended, ["controller-0 DRAINED", "controller-1 SKIPPED", "controller-2 SKIPPED"]);
});

t.test(
  "a node that rolled back is undrained as soon as its agent reports it as healthy, and the update stops",
  async (t) => {
    const options = {
      failing: "controller-0",
      applied: (name: string) => {
        const [first] = nodes;
        if (name !== "controller-0" || first === undefined) return;
        [first.rolledBack, first.well] = [true, false];
        // The agent's next probe finds the node healthy.
        setTimeout(() => (first.well = true), 10);
      },
    };
    const { log, nodes, ended, roll } = await scene(options);
    t.match((await roll())[0], { error: { code: "NOT_READY", hint: undefined } });
    t.strictSame(log, ["controller-0 drained", "controller-0 applied", "controller-0 undrained"]);
    t.strictSame(ended, ["controller-0 NOT_READY", "controller-1 SKIPPED", "controller-2 SKIPPED"]);
  },
);

t.test(
  "if the release changes, nodes that are not serving are also changed one at a time, with a check after each",
  async (t) => {
    const checked: string[] = [];
    const { log, roll } = await scene({
      down: ["controller-0", "controller-1"],
      updating: true,
      between: async (done) => {
        checked.push(done.map(({ node }) => node.address.name).join());
        if (done.length === 2) throw new KhwError("VERIFY_FAILED", "the gate ended with 1");
      },
    });
    t.match(await roll(), [{ changed: 1 }, { changed: 1 }, { error: { code: "SKIPPED" } }]);
    t.strictSame(checked, ["controller-0", "controller-0,controller-1"]);
    t.strictSame(log, ["controller-0 applied", "controller-1 applied"]);
  },
);

t.test(
  "a node that already has the desired state comes first, and is checked before the next node changes",
  async (t) => {
    const { log, roll } = await scene({
      updating: true,
      unchanged: ["controller-2"],
      between: async () => {
        throw new KhwError("VERIFY_FAILED", "the gate ended with 1");
      },
    });
    const outcomes = await roll();
    t.match(outcomes[0], { changed: 0, node: { address: { name: "controller-2" } } });
    t.match(outcomes.slice(1), [{ error: { code: "SKIPPED" } }, { error: { code: "SKIPPED" } }]);
    t.strictSame(log, ["controller-2 applied"]);
  },
);
