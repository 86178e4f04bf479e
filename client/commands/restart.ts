import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { StepEvent } from "../../proto/step.ts";
import { chooseMembers } from "../cluster/select-nodes.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { phase } from "../progress/phase.ts";
import type { Progress } from "../progress/progress.ts";
import { isDrained, readStandings, refusalToRestart, type Standing } from "../drain/serving-state.ts";
import { whileDrained } from "../drain/while-drained.ts";
import { several } from "../cluster/combine-errors.ts";

export interface RestartOptions {
  readonly output: Output;
  /** As the arguments name them. */
  readonly nodes: string;
  readonly component: string;
  /** Even when nobody would serve meanwhile. */
  readonly force: boolean;
}

/** What the load balancer's clients notice when it restarts. */
const drainedFirst: ReadonlySet<string> = new Set(["kube-apiserver", "nginx"]);

/** What was begun is ended by its own deadline, not by Ctrl-C. */
const never = new AbortController().signal;

/** As restartNodes has it. */
export async function restart(config: ClusterConfig, context: Context, options: RestartOptions): Promise<number> {
  await using cluster = await openCluster(config, context.signal);
  return await restartNodes(cluster, context, options);
}

/**
 * Restarts a component on the nodes, one after the other, for as long as nothing failed; out of the load balancer's rotation
 * where its clients would notice. Ctrl-C finishes the node in hand and stops there. Exit code 0, 130, or an error.
 * @throws KhwError PREFLIGHT_FAILED, with nothing touched, when nobody would serve meanwhile
 */
export async function restartNodes(cluster: OpenCluster, context: Context, options: RestartOptions): Promise<number> {
  const { component, force } = options;
  const chosen = chooseMembers(cluster.members, [options.nodes]);
  for (const { error } of chosen) if (error !== undefined) throw error;
  const standings = await readStandings(cluster, context.signal);
  if (!force) refuse(chosen.flatMap(({ node }) => refusalToRestart(standings, node.address.name, component) ?? []));

  const progress = await openProgress(options.output, context);
  progress.emit({ kind: "begin", tracks: chosen.map(({ node }) => node.address.name) });
  const errors: KhwError[] = [];
  for (const member of chosen) {
    const { name } = member.node.address;
    const [failed] = errors;
    const spared = context.signal.aborted ? notBegun(name) : failed === undefined ? undefined : leftAlone(name, failed);
    const error = spared ?? (await restartOne(member, { cluster, context, progress, component, force }));
    progress.emit({ kind: "end", track: name, changed: error === undefined ? 1 : 0, error });
    if (error !== undefined) errors.push(error);
  }
  await progress.settled();
  return conclude(errors, chosen.length);
}

interface One {
  readonly cluster: OpenCluster;
  readonly context: Context;
  readonly progress: Progress;
  readonly component: string;
  readonly force: boolean;
}

async function restartOne(
  { node }: Member,
  { cluster, context: { signal }, progress, component, force }: One,
): Promise<KhwError | undefined> {
  const { name } = node.address;
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: name, event });
  const interrupted = (): void => {
    progress.emit({ kind: "note", text: finishing(name) });
    // Where rows are redrawn, a note stands below them only in the end.
    emit({ kind: "progress", step: "interrupted", text: `finishing; a second Ctrl-C leaves ${name} as it is` });
  };
  try {
    const standings = await readStandings(cluster, signal);
    if (!force) refuse([refusalToRestart(standings, name, component)].flatMap((refusal) => refusal ?? []));
    const work = (): Promise<void> =>
      phase({ id: `restart/${component}`, summary: "is restarted" }, emit, async () => {
        await node.restart({ component, reason: "khw-client restart" }, never);
      });
    signal.addEventListener("abort", interrupted, { once: true });
    const { cloud, config } = cluster;
    const rotation = { node, standings, cloud, timeouts: config.timeouts, signal, emit };
    await (drainedFirst.has(component) ? whileDrained(work, rotation) : work());
    tellDrained(standings, name, progress);
    return undefined;
  } catch (thrown) {
    return toKhwError(thrown).at({ node: name });
  } finally {
    signal.removeEventListener("abort", interrupted);
  }
}

function tellDrained(standings: readonly Standing[], name: string, progress: Progress): void {
  const own = standings.find((standing) => standing.name === name);
  if (own === undefined || !isDrained(own)) return;
  progress.emit({ kind: "note", text: `${name} was drained before, and stays so: khw-client undrain ${name}` });
}

function finishing(name: string): string {
  return `interrupted: ${name} is finished and taken back in first; a second Ctrl-C leaves it as it is, and then \`khw-client undrain ${name}\` takes it back in`;
}

function notBegun(node: string): KhwError {
  return new KhwError("CANCELLED", "not restarted: its turn had not come", { node });
}

function leftAlone(node: string, { node: failed = "?" }: KhwError): KhwError {
  return new KhwError("PREFLIGHT_FAILED", `not restarted, since ${failed} failed: it serves on`, {
    node,
    hint: `mend ${failed} first`,
  });
}

/** What stands in the way, in one error; nothing was touched. */
function refuse(refusals: readonly KhwError[]): void {
  const [first] = refusals;
  if (first !== undefined) throw first;
}

/** Ctrl-C is no error: each node's row says how far it came. */
function conclude(errors: readonly KhwError[], nodes: number): number {
  const [first, ...others] = errors;
  if (first === undefined) return 0;
  if (errors.every(({ code }) => code === "CANCELLED")) return 130;
  const code = errors.length < nodes ? "PARTIAL" : first.code;
  throw others.length === 0 && code === first.code
    ? first
    : several(errors, { code, headline: "not every node is done" });
}
