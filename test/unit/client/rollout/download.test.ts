import { Metadata, status } from "@grpc/grpc-js";
import t from "tap";
import { downloadPrograms } from "../../../../client/rollout/download.ts";
import type { ProgressEvent } from "../../../../client/progress/progress.ts";
import { operationId } from "../../../../client/rollout/apply-to-node.ts";
import { nodeError } from "../../../../client/cluster/call-errors.ts";
import { KhwError, toDetail } from "../../../../proto/errors.ts";
import {
  DesiredState,
  type Event,
  OperationState,
  type PrepareRequest,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const names = ["controller-0", "controller-1", "controller-2"];

interface Options {
  /** Throws an error, or returns the error with which the operation fails. */
  readonly result?: (name: string) => KhwError | undefined;
  /** Called when Prepare has started on all nodes. */
  readonly begun?: () => void;
  readonly restarting?: readonly string[];
  /** The nodes on which an Apply operation is already running. */
  readonly applying?: readonly string[];
}

/** Creates fake nodes. All nodes start their downloads before the first download ends. */
async function scene({ result = () => undefined, begun, restarting = names, applying = [] }: Options = {}) {
  const cluster = await createFakeCluster(names);
  const expected = restarting.filter((name) => !applying.includes(name)).length;
  const all = Promise.withResolvers<void>();
  const prepared: string[] = [];
  const members = cluster.members.map(({ node, info }) => {
    const { name } = node.address;
    const desired = DesiredState.fromPartial({ node: name });
    const operation = { id: operationId(desired), holder: "", startedUnixMillis: 0, state: running, error: undefined };
    const prepare = async function* (request: PrepareRequest, signal: AbortSignal): AsyncGenerator<Event> {
      prepared.push(name);
      const { desired: asked = desired, operationId: id } = request;
      t.equal(asked.node, name);
      t.not(id, operationId(asked));
      if (prepared.length === expected) {
        begun?.();
        all.resolve();
      }
      await all.promise;
      signal.throwIfAborted();
      const error = result(name);
      const value = { changedSteps: 1, error: error === undefined ? undefined : toDetail(error) };
      yield { operationId: id, sequence: 1, timeUnixMillis: 0, kind: { $case: "operationFinished", value } };
    };
    return {
      node: { ...node, prepare },
      info: { ...(info ?? assertInfo()), ...(applying.includes(name) && { operation }) },
    };
  });
  const shown: ProgressEvent[] = [];
  const interrupt = new AbortController();
  const work = members.map(({ node }) => ({
    node,
    desired: DesiredState.fromPartial({ node: node.address.name }),
    maintenance: undefined,
  }));
  const nodes = new Set(work.flatMap(({ node }) => (restarting.includes(node.address.name) ? node : [])));
  return {
    prepared,
    shown,
    interrupt,
    lines: () => shown.flatMap((event) => (event.kind === "note" ? event.text : [])),
    download: () =>
      downloadPrograms(
        { ...cluster, members },
        { work, restarting: nodes },
        {
          progress: { emit: (event) => void shown.push(event), settled: async () => {} },
          signal: interrupt.signal,
        },
      ),
  };
}

const running = OperationState.OPERATION_STATE_RUNNING;

function assertInfo(): never {
  throw new TypeError("a fake node has no info");
}

t.test("all nodes that need a restart download in parallel, and no other node downloads", async (t) => {
  const { download, prepared, shown } = await scene({ restarting: names.slice(1) });
  await download();
  t.strictSame(prepared, names.slice(1));
  t.match(shown[0], { kind: "begin", tracks: names.slice(1) });
  t.match(
    shown.filter(({ kind }) => kind === "end"),
    names.slice(1).map((track) => ({ track, text: "every program is ready", error: undefined })),
  );
});

t.test("if no node needs a restart, no node is called and nothing is shown", async (t) => {
  const { download, shown } = await scene({ restarting: [] });
  await download();
  t.strictSame(shown, []);
});

t.test("a node that is already applying the desired state is skipped", async (t) => {
  const { download, prepared } = await scene({ applying: ["controller-1"] });
  await download();
  t.strictSame(prepared, ["controller-0", "controller-2"]);
});

t.test("if a node cannot download, the error names the node and states that nothing was changed", async (t) => {
  const { download, shown } = await scene({
    result: (name) =>
      name === "controller-2"
        ? new KhwError("DOWNLOAD_FAILED", "no mirror answers", { step: "release/kubectl" })
        : undefined,
  });
  await t.rejects(download(), {
    code: "DOWNLOAD_FAILED",
    message:
      "no node was drained or changed, because not every node is ready for its new programs:\n" +
      "  controller-2: release/kubectl: no mirror answers",
  });
  t.equal(shown.filter((event) => event.kind === "end" && event.error === undefined).length, 2);
});

t.test("an agent that is too old for the download call is skipped with a note", async (t) => {
  const unknown = Object.assign(new Error("unknown method"), {
    code: status.UNIMPLEMENTED,
    details: "unknown method Prepare",
    metadata: new Metadata(),
  });
  const { download, lines } = await scene({
    result: (name) => {
      if (name === "controller-0") throw nodeError({ name, host: "127.0.0.1", port: 1 }, unknown);
      return undefined;
    },
  });
  await download();
  t.match(lines(), [/^controller-0: the agent is older than this client and downloads/]);
});

t.test("Ctrl-C ends the wait for downloads without an error", async (t) => {
  const { download, interrupt } = await scene({ begun: () => interrupt.abort() });
  await download();
  t.ok(interrupt.signal.aborted);
});
