import { KhwError, toKhwError } from "../proto/errors.ts";
import type { Member, OpenCluster } from "./cluster.ts";
import type { Context } from "./context.ts";
import type { AgentNode } from "./node.ts";
import { nodesAtOnce, onNodes } from "./on-nodes.ts";
import { prepare, type Prepared } from "./prepare.ts";
import type { Progress } from "./progress/progress.ts";
import { type NodeOutcome, type NodeWork, preflight, rollout } from "./rollout.ts";
import { nodesToSpare, type Serving } from "./serving.ts";
import { several } from "./several.ts";
import { busyFindings } from "./under-way.ts";
import { verification } from "./verification.ts";
import { verify } from "./verify.ts";

export interface RollOptions {
  readonly context: Context;
  readonly progress: Progress;
}

/** What was begun is ended by its own deadline, not by Ctrl-C. */
const never = new AbortController().signal;

/**
 * Brings every node to what khw.yaml and the credentials say now: those that serve one after the other, drained where the API
 * server would be restarted, and then back in; and proves in the end that the cluster works. The first failure is the last
 * node. Ctrl-C finishes the node in hand.
 * @throws KhwError UNREACHABLE or PREFLIGHT_FAILED, with no node touched; PARTIAL; VERIFY_FAILED; CANCELLED after Ctrl-C
 */
export async function roll(opened: OpenCluster, { context, progress }: RollOptions): Promise<Prepared> {
  const { signal } = context;
  const cluster = await greetAgain(opened, signal);
  const prepared = await prepare(cluster, { signal, mayCreateAddress: false, newCredentials: "refuse" });
  refuse(prepared.unreachable);
  refuse(busyFindings(cluster.members, prepared.work));
  const [findings, serving] = await Promise.all([
    preflight(prepared.work, signal),
    nodesToSpare(prepared.work, signal),
  ]);
  refuse(findings);
  conclude(await workThrough(cluster, prepared.work, { context, progress, serving }));
  await prove(cluster, prepared, { context, progress, drained: serving.drained });
  return prepared;
}

/** The members as they are now: much may have happened since the last roll. */
async function greetAgain(cluster: OpenCluster, signal: AbortSignal): Promise<OpenCluster> {
  const known = cluster.members.map(({ node }): Member => ({ node }));
  const answers = await onNodes(known, nodesAtOnce, (node) => node.info(signal));
  signal.throwIfAborted();
  const members = known.map(({ node }, index): Member => {
    const { value: info, error } = answers[index] ?? {};
    return { node, ...(info === undefined ? {} : { info }), ...(error === undefined ? {} : { error }) };
  });
  return { ...cluster, members };
}

async function workThrough(
  { config, cloud, members }: OpenCluster,
  work: readonly NodeWork[],
  { context: { signal }, progress, serving }: RollOptions & { readonly serving: Serving },
): Promise<NodeOutcome[]> {
  if (work.length === 1 && serving.spare.size === 1) progress.emit({ kind: "note", text: aloneNote });
  progress.emit({ kind: "begin", tracks: work.map(({ node }) => node.address.name) });
  const finishing = (): void => progress.emit({ kind: "note", text: interruptedNote });
  signal.addEventListener("abort", finishing, { once: true });
  const rotation = { cloud, members, timeouts: config.timeouts };
  const options = { progress, signal: never, timeoutMillis: config.timeouts.node, rotation };
  // Those that serve nobody first, and at once: they may need each other, and what breaks them the others are spared.
  const down = work.filter(({ node }) => !serving.serving.has(node));
  const outcomes = await rollout(down, { ...options, spare: new Set() });
  for (const item of work.filter(({ node }) => serving.serving.has(node))) {
    const { node } = item;
    const error = signal.aborted ? notBegun(node) : leftAlone(node, outcomes);
    if (error !== undefined) {
      progress.emit({ kind: "end", track: node.address.name, changed: 0, error });
      outcomes.push({ node, changed: 0, error });
      continue;
    }
    const spare = new Set(serving.spare.has(node) ? [node] : []);
    outcomes.push(...(await rollout([item], { ...options, spare })));
  }
  signal.removeEventListener("abort", finishing);
  await progress.settled();
  return outcomes;
}

async function prove(
  cluster: OpenCluster,
  prepared: Prepared,
  { context: { signal }, progress, drained }: RollOptions & Pick<Serving, "drained">,
): Promise<void> {
  for (const { address } of drained) progress.emit({ kind: "note", text: drainedNote(address.name) });
  const results = await verify(verification(cluster, prepared, drained), {
    signal,
    waitMillis: cluster.config.timeouts.verify,
    report: ({ title, error }) => {
      if (error !== undefined) progress.emit({ kind: "check", title, error });
    },
  });
  signal.throwIfAborted();
  refuse(
    results.flatMap(({ title, error }) =>
      error === undefined ? [] : [new KhwError(error.code, `${title}: ${error.message}`, error)],
    ),
  );
}

const aloneNote =
  "there is no other API server: the API is away for as long as this one takes to restart, some seconds";
const interruptedNote = "interrupted: the node in hand is finished and taken back in first";

function drainedNote(name: string): string {
  return `${name} was drained before, and stays so: khw-client undrain ${name} takes it back into rotation`;
}

function notBegun({ address }: AgentNode): KhwError {
  return new KhwError("CANCELLED", "not begun: its turn had not come", { node: address.name });
}

function leftAlone({ address }: AgentNode, outcomes: readonly NodeOutcome[]): KhwError | undefined {
  const failed = outcomes.find(({ error }) => error !== undefined)?.node.address.name;
  if (failed === undefined) return undefined;
  return new KhwError("PREFLIGHT_FAILED", `left as it was, since ${failed} failed: its API server serves on`, {
    node: address.name,
    hint: `mend ${failed} first`,
  });
}

function conclude(outcomes: readonly NodeOutcome[]): void {
  const errors = outcomes.flatMap(({ error }) => error ?? []);
  const cancelled = errors.find(({ code }) => code === "CANCELLED");
  const first = errors.find(({ code }) => code !== "CANCELLED");
  if (first === undefined && cancelled !== undefined) throw stopped();
  if (first === undefined) return;
  if (outcomes.length === 1) throw toKhwError(first);
  throw several(errors, {
    code: errors.length < outcomes.length ? "PARTIAL" : first.code,
    headline: "not every node is done",
    hint: "see to that, then run the command again: it goes on from here",
  });
}

function stopped(): KhwError {
  return new KhwError("CANCELLED", "stopped between two nodes", {
    hint: "run the command again: it goes on from here",
  });
}

/** What stands in the way, in one error. */
function refuse(findings: readonly KhwError[]): void {
  const [first, ...others] = findings;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw several(findings, { code: first.code, headline: "this stands in the way" });
}
