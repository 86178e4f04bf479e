import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { conclude, type ConcludeOptions } from "../cluster/combine-errors.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";

/** The result of the work on one node. */
export interface NodeOutcome {
  readonly node: AgentNode;
  /** The number of steps that were applied. */
  readonly changed: number;
  readonly error?: KhwError;
}

export interface OneByOneOptions<Item> extends ProgressOptions {
  /** The outcomes of the earlier nodes. If an earlier node failed, `oneByOne` skips all of its nodes. */
  readonly earlier?: readonly NodeOutcome[];
  /**
   * Returns the sentence to print if the user presses Ctrl-C during the work on a node. If absent, nothing is printed.
   */
  readonly interrupted?: (name: string) => string;
  /**
   * Called before each node that follows a successful node, with the outcomes so far, including the earlier ones.
   * @throws an error that says why work on the next node must not begin
   */
  readonly between?: ((done: readonly NodeOutcome[]) => Promise<void>) | undefined;
  /** @throws an error that says why the work on the node failed */
  readonly work: (item: Item) => Promise<NodeOutcome>;
}

/**
 * Works on one node at a time, and stops at the first failure. A change that breaks a node therefore does not reach the
 * next node. After Ctrl-C, does not begin work on another node. Reports the result of each node, including skipped
 * nodes. Never rejects.
 */
export async function oneByOne<Item extends { readonly node: AgentNode }>(
  items: readonly Item[],
  options: OneByOneOptions<Item>,
): Promise<NodeOutcome[]> {
  const { earlier = [], signal } = options;
  const outcomes: NodeOutcome[] = [];
  let stopped: KhwError | undefined;
  for (const item of items) {
    const done = [...earlier, ...outcomes];
    const { node } = item;
    let error = stopped ?? skipReason(node, { outcomes: done, signal });
    if (error === undefined) error = stopped = await stopReason(done, options);
    const outcome =
      error === undefined
        ? await workOn(item, options)
        : { node, changed: 0, error: error.at({ node: node.address.name }) };
    outcomes.push(reportEnd(outcome, options));
  }
  return outcomes;
}

/** Reports that the work on a node has ended, and returns the outcome. */
export function reportEnd(outcome: NodeOutcome, { progress }: Pick<ProgressOptions, "progress">): NodeOutcome {
  const { node, changed, error } = outcome;
  progress.emit({ kind: "end", track: node.address.name, changed, error });
  return outcome;
}

/**
 * Combines the nodes' errors, and throws them as a single error. Returns true if all nodes are done, and false if
 * Ctrl-C stopped the work between two nodes.
 */
export function concludeNodes(outcomes: readonly NodeOutcome[], texts: Omit<ConcludeOptions, "done">): boolean {
  const errors = outcomes.flatMap(({ error }) => error ?? []);
  if (errors.length > 0 && errors.every(({ code }) => code === "CANCELLED")) return false;
  conclude(errors, { done: outcomes.length - errors.length, ...texts });
  return true;
}

async function workOn<Item extends { readonly node: AgentNode }>(
  item: Item,
  { work, interrupted, progress, signal }: OneByOneOptions<Item>,
): Promise<NodeOutcome> {
  const { name } = item.node.address;
  const onInterrupt = (): void => {
    if (interrupted === undefined) return;
    note(progress, `interrupted: ${interrupted(name)}`);
    // On a terminal, notes appear below the rows, and only when all rows have ended. Therefore, the row itself must
    // also show the note.
    const event = { kind: "progress", step: "interrupted", text: interrupted(name) } as const;
    progress.emit({ kind: "step", track: name, event });
  };
  signal.addEventListener("abort", onInterrupt, { once: true });
  try {
    return await work(item);
  } catch (thrown) {
    return { node: item.node, changed: 0, error: toKhwError(thrown).at({ node: name }) };
  } finally {
    signal.removeEventListener("abort", onInterrupt);
  }
}

async function stopReason<Item>(
  done: readonly NodeOutcome[],
  { between }: OneByOneOptions<Item>,
): Promise<KhwError | undefined> {
  if (done.length === 0) return undefined;
  try {
    await between?.(done);
    return undefined;
  } catch (thrown) {
    return new KhwError("SKIPPED", `skipped: ${toKhwError(thrown).message}; this node is unchanged`);
  }
}

interface SkipOptions {
  /** The outcomes of the earlier nodes. */
  readonly outcomes: readonly NodeOutcome[];
  readonly signal: AbortSignal;
}

/** Returns the reason why a node is skipped: an interruption, or a failure of an earlier node. */
function skipReason({ address: { name: node } }: AgentNode, { outcomes, signal }: SkipOptions): KhwError | undefined {
  if (signal.aborted) {
    return new KhwError("CANCELLED", "skipped because the command was interrupted before this node's turn", {
      node,
      hint: "run the command again to continue",
    });
  }
  const failed = outcomes.find(({ error }) => error !== undefined)?.node.address.name;
  if (failed === undefined) return undefined;
  return new KhwError("SKIPPED", `skipped because ${failed} failed; this node is unchanged`, {
    node,
    hint: `repair ${failed} first`,
  });
}
