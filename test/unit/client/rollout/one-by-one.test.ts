import t from "tap";
import { type NodeOutcome, oneByOne } from "../../../../client/rollout/one-by-one.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const names = ["controller-0", "controller-1", "controller-2"];

interface Options {
  readonly earlier?: readonly NodeOutcome[];
  readonly interrupted?: (name: string) => string;
  readonly work?: (name: string) => Promise<void>;
  readonly between?: (done: readonly NodeOutcome[]) => Promise<void>;
}

/** Works on three nodes. Returns the names of the nodes that it has worked on, and the printed lines. */
async function run(signal: AbortSignal, { work = async () => {}, ...options }: Options = {}) {
  const { members } = await createFakeCluster(names);
  const [worked, printed]: [string[], string[]] = [[], []];
  const outcomes = await oneByOne(members, {
    ...options,
    signal,
    progress: {
      emit: (event) => {
        if (event.kind === "end") printed.push(`${event.track} ${event.error?.code ?? "done"}`);
        if (event.kind === "note") printed.push(event.text);
      },
      settled: async () => {},
    },
    work: async ({ node }) => {
      worked.push(node.address.name);
      await work(node.address.name);
      return { node, changed: 1 };
    },
  });
  return { worked, printed, outcomes };
}

const never = new AbortController().signal;

t.test("the work on each node ends before the work on the next node starts", async (t) => {
  const { worked, printed, outcomes } = await run(never);
  t.strictSame(worked, names);
  t.strictSame(
    printed,
    names.map((name) => `${name} done`),
  );
  t.match(outcomes, [{ changed: 1 }, { changed: 1 }, { changed: 1 }]);
});

t.test("an error is attributed to its node, and the remaining nodes are skipped", async (t) => {
  const work = async (name: string): Promise<void> => {
    if (name === "controller-1") throw new KhwError("NOT_READY", "no answer");
  };
  const { worked, outcomes } = await run(never, { work });
  t.strictSame(worked, ["controller-0", "controller-1"]);
  t.match(outcomes[1]?.error, { code: "NOT_READY", node: "controller-1" });
  t.match(outcomes[2]?.error, {
    node: "controller-2",
    message: "skipped because controller-1 failed; this node is unchanged",
  });
});

t.test("after a failure before the first node, all nodes are skipped", async (t) => {
  const { members } = await createFakeCluster(["controller-9"]);
  const earlier = members.map(({ node }) => ({ node, changed: 0, error: new KhwError("NOT_READY", "no answer") }));
  const { worked, outcomes } = await run(never, { earlier });
  t.strictSame(worked, []);
  t.match(outcomes[0]?.error?.message, /controller-9 failed/);
});

t.test("after Ctrl-C, which is reported once, the current node is finished and no other node is started", async (t) => {
  const interrupt = new AbortController();
  const { worked, printed } = await run(interrupt.signal, {
    work: async () => interrupt.abort(),
    interrupted: (name) => `${name} ends first`,
  });
  t.strictSame(worked, ["controller-0"]);
  t.strictSame(printed, [
    "interrupted: controller-0 ends first",
    "controller-0 done",
    "controller-1 CANCELLED",
    "controller-2 CANCELLED",
  ]);
});

t.test(
  "a stop between two nodes leaves the remaining nodes unchanged, and no check runs after the last node",
  async (t) => {
    const counts: number[] = [];
    const between = async ({ length }: readonly NodeOutcome[]): Promise<void> => {
      counts.push(length);
      if (length === 2) throw new KhwError("VERIFY_FAILED", "the gate ended with 1");
    };
    const { worked, outcomes } = await run(never, { between });
    t.strictSame(worked, ["controller-0", "controller-1"]);
    t.match(outcomes[2]?.error, {
      code: "SKIPPED",
      node: "controller-2",
      message: "skipped: the gate ended with 1; this node is unchanged",
    });
    counts.length = 0;
    await run(never, { between: async ({ length }) => void counts.push(length) });
    t.strictSame(counts, [1, 2]);
  },
);

t.test("the stop between two nodes is also checked after earlier nodes", async (t) => {
  const { members } = await createFakeCluster(["controller-9"]);
  const earlier = members.map(({ node }) => ({ node, changed: 1 }));
  const between = async (done: readonly NodeOutcome[]): Promise<void> => {
    throw new KhwError("VERIFY_FAILED", `${done.map(({ node }) => node.address.name).join()} is not healthy`);
  };
  const { worked, outcomes } = await run(never, { earlier, between });
  t.strictSame(worked, []);
  t.match(outcomes[0]?.error?.message, /controller-9 is not healthy/);
});
