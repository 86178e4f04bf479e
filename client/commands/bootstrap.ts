import { KhwError, toKhwError } from "../../proto/errors.ts";
import { applySteps } from "../../proto/step.ts";
import { type Cloud, type OpenCluster, refuseNoNodes } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { tellProblem } from "../pki/check/problem.ts";
import { uncertainBeginnings } from "../etcd/first-start.ts";
import { prepare, type Prepared } from "../rollout/plan.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { loadBalancerTrack, type Progress } from "../progress/progress.ts";
import { preflight, rollout, type RolloutOptions } from "../rollout/apply.ts";
import type { NodeOutcome } from "../rollout/node-work.ts";
import { nodesToSpare } from "../rollout/restart-order.ts";
import { several } from "../cluster/combine-errors.ts";
import { busyFindings, tellUnderWay } from "../rollout/running-operations.ts";
import { verification } from "../verify/verification.ts";
import { verify } from "../verify/verify.ts";
import { describeWarnings } from "../rollout/warnings.ts";

export interface BootstrapOptions {
  readonly output: Output;
}

/** Turns the nodes into a control plane behind a load balancer, and proves that it works. Exit code 0, or an error. */
export async function bootstrap(
  config: ClusterConfig,
  context: Context,
  { output }: BootstrapOptions,
): Promise<number> {
  refuseNoNodes(config);
  const { signal } = context;
  const progress = await openProgress(output, context);
  const say = (text: string): void => progress.emit({ kind: "note", text });
  const { provideManagement } = await import("../pki/management/management.ts");
  for (const path of await provideManagement(config.management)) say(`${path}: made, for this client and the agents`);
  const { openAdmitted } = await import("../enrolment/enrol-waiting-agents.ts");
  await using cluster = await openAdmitted(config, { say, signal });
  const prepared = await prepare(cluster, { signal, mayCreateAddress: true, newCredentials: "keep" });
  for (const text of prepared.warnings.map(tellProblem)) progress.emit({ kind: "note", text });
  for (const text of tellUnderWay(cluster.members)) progress.emit({ kind: "note", text });
  const { renewDue } = await import("../enrolment/renew-due.ts");
  for (const text of await renewDue(cluster, signal)) progress.emit({ kind: "note", text });
  refuse(busyFindings(cluster.members, prepared.work));
  refuse(uncertainBeginnings(cluster.members, prepared.work));
  const warnings: KhwError[] = [];
  const [findings, { spare, drained }] = await Promise.all([
    preflight(prepared.work, signal, (warning) => void warnings.push(warning)),
    nodesToSpare(prepared.work, signal),
  ]);
  for (const text of describeWarnings(warnings)) progress.emit({ kind: "note", text: `warning: ${text}` });
  refuse(findings);
  await keepMade(prepared, config, say);
  for (const { address } of drained) progress.emit({ kind: "note", text: tellDrained(address.name) });

  const { nodes, loadBalancer } = await converge(cluster, prepared, { progress, signal, spare });
  if (signal.aborted) return detached(progress);
  const errors = [
    ...prepared.unreachable,
    ...nodes.flatMap(({ error }) => error ?? []),
    ...(loadBalancer === null ? [] : [loadBalancer]),
  ];
  const done = nodes.filter(({ error }) => error === undefined);
  if (done.length > 0) {
    const rbac = await applyRbac(done, prepared, { progress, signal }).catch(toKhwError);
    if (rbac !== undefined) errors.push(rbac);
    const proven = {
      ...prepared,
      work: prepared.work.filter(({ node }) => done.some((outcome) => outcome.node === node)),
    };
    const results = await verify(verification(cluster, proven, drained), {
      signal,
      waitMillis: loadBalancer === null ? config.timeouts.verify : 0,
      report: (check) => progress.emit({ kind: "check", ...check }),
    });
    errors.push(
      ...results.flatMap(({ title, error }) =>
        error === undefined ? [] : [new KhwError(error.code, `${title}: ${error.message}`, error)],
      ),
    );
  }
  if (signal.aborted) return detached(progress);
  conclude(errors, done.length);
  progress.emit({ kind: "note", text: `the control plane answers at https://${prepared.publicAddress}:6443` });
  return 0;
}

/** All nodes and the load balancer at once: neither waits for the other. */
async function converge(
  { config, cloud, members }: OpenCluster,
  { work, unreachable }: Prepared,
  { progress, signal, spare }: Pick<RolloutOptions, "progress" | "signal" | "spare">,
): Promise<{ nodes: NodeOutcome[]; loadBalancer: KhwError | null }> {
  const tracks = [...work.map(({ node }) => node.address.name), ...unreachable.map(({ node = "?" }) => node)];
  progress.emit({ kind: "begin", tracks: cloud === undefined ? tracks : [...tracks, loadBalancerTrack] });
  for (const error of unreachable) progress.emit({ kind: "end", track: error.node ?? "?", changed: 0, error });
  const [nodes, loadBalancer] = await Promise.all([
    rollout(work, {
      progress,
      signal,
      spare,
      timeoutMillis: config.timeouts.node,
      rotation: { cloud, members, timeouts: config.timeouts },
    }),
    cloud === undefined ? null : applyLoadBalancer(cloud, progress, signal),
  ]);
  await progress.settled();
  return { nodes, loadBalancer };
}

async function applyLoadBalancer(
  { compute, loadBalancer }: Cloud,
  progress: Progress,
  signal: AbortSignal,
): Promise<KhwError | null> {
  const { loadBalancerSteps } = await import("../gce/load-balancer.ts");
  const results = await applySteps(loadBalancerSteps(loadBalancer), compute, {
    signal,
    emit: (event) => progress.emit({ kind: "loadBalancer", event }),
  });
  const changed = results.filter(({ outcome }) => outcome === "changed").length;
  const failed = results.find((result) => result.outcome === "failed");
  const error = failed?.error.at({ node: loadBalancerTrack });
  progress.emit({ kind: "end", track: loadBalancerTrack, changed, error });
  return error ?? null;
}

/**
 * Through the first node that is done: the objects are the cluster's, one node is enough. What goes wrong is one error among
 * those of the nodes, and hides none of them.
 */
async function applyRbac(
  [first]: readonly NodeOutcome[],
  { admin }: Prepared,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<void> {
  if (first === undefined) return;
  const { ca, certificate, key } = admin;
  const changed = await first.node.applyRbac({ ca, certificate, key }, signal);
  for (const name of changed) progress.emit({ kind: "note", text: `RBAC: ${name} applied` });
}

/** Everything that stands in the way, in one error; nothing was touched. */
function refuse(findings: readonly KhwError[]): void {
  const [first, ...others] = findings;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  const headline = "nothing was touched, since on these nodes something stands in the way";
  throw several(findings, { code: first.code, headline });
}

/** One error is that error; several, or some where others are done, are told together. */
function conclude(errors: readonly KhwError[], nodesDone: number): void {
  const [first, ...others] = errors;
  if (first === undefined) return;
  if (others.length === 0 && nodesDone === 0) throw first;
  throw several(errors, {
    code: nodesDone > 0 ? "PARTIAL" : first.code,
    headline: "not everything is done",
    hint: "see to that, then run the command again: it goes on from here",
  });
}

/** Before a node gets any of them, and not before nothing stands in the way any more. */
async function keepMade({ made }: Prepared, config: ClusterConfig, say: (text: string) => void): Promise<void> {
  const { folder } = config.credentials;
  const count = Object.keys(made).length;
  if (count === 0) return;
  const { writeNew } = await import("../pki/cluster/folder.ts");
  await writeNew(folder, made).catch((thrown: unknown) => {
    const error = toKhwError(thrown);
    if (error.code !== "INVALID_ARGUMENT") throw error;
    // There was none when the run began.
    throw new KhwError("BUSY", error.message, {
      hint: "somebody else put it there meanwhile: run the command again, it uses what is there",
      cause: error,
    });
  });
  const what = `made the cluster's certificates, kubeconfigs and encryption key, ${count} files in ${folder}: keep them, and keep them safe`;
  say(config.pki.separateSigningCa ? what : `${what}. ca-key.pem goes to the controllers, as in lab 08`);
}

function tellDrained(name: string): string {
  return `${name} was drained before, and stays so: khw-client undrain ${name} takes it back into rotation`;
}

function detached(progress: Progress): number {
  progress.emit({
    kind: "note",
    text: "detached: the agents finish what they have begun; run the command again to attach, and to go on",
  });
  return 130;
}
