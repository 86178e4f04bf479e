import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { Member, OpenCluster } from "../cluster/open.ts";
import type { Context } from "../terminal/context.ts";
import { nodesAtOnce, onNodes } from "../cluster/for-each-node.ts";
import { prepare, type Prepared } from "./plan.ts";
import type { Progress } from "../progress/progress.ts";
import { rollNodes } from "./one-by-one.ts";
import { preflight } from "./apply.ts";
import type { NodeOutcome } from "./node-work.ts";
import { nodesToSpare, type Serving } from "./restart-order.ts";
import { several } from "../cluster/combine-errors.ts";
import { busyFindings } from "./running-operations.ts";
import { verification } from "../verify/verification.ts";
import { verify } from "../verify/verify.ts";

export interface RollOptions {
  readonly context: Context;
  readonly progress: Progress;
}

/**
 * Applies khw.yaml and the credentials to every node, one serving node after the other, drained if its API server
 * would restart; then verifies the cluster. The update stops at the first failure. Ctrl-C finishes the current
 * node.
 * @throws KhwError UNREACHABLE or PREFLIGHT_FAILED, with no node touched; PARTIAL; VERIFY_FAILED; CANCELLED after
 * Ctrl-C
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
  conclude(await rollNodes(cluster, prepared.work, { signal, progress, serving }));
  await prove(cluster, prepared, { context, progress, drained: serving.drained });
  return prepared;
}

/** Reads the members again: much may have changed since the last update. */
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

function drainedNote(name: string): string {
  return `${name} was drained before, and stays so: khw-client undrain ${name} takes it back into rotation`;
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

/** Throws all obstacles as a single error. */
function refuse(findings: readonly KhwError[]): void {
  const [first, ...others] = findings;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw several(findings, { code: first.code, headline: "this stands in the way" });
}
