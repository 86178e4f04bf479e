import { formatError, KhwError, toDetail } from "../../proto/errors.ts";
import { applySteps, planSteps, type PlannedStep, type Step, type StepResult } from "../../proto/step.ts";
import { computeConnection, loadBalancerConfig } from "../config/load-balancer.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import type { Compute } from "../gce/compute.ts";
import type { LoadBalancerConfig } from "../gce/config.ts";
import { deleteLoadBalancerSteps } from "../gce/delete-load-balancer.ts";
import { type BackendHealth, poolHealth } from "../gce/health.ts";
import { locateInstances } from "../gce/instances.ts";
import { loadBalancerSteps, publicAddress } from "../gce/load-balancer.ts";
import { openCompute } from "../gce/open.ts";
import { membersNamed } from "../gce/pool-members.ts";

export interface LbOptions {
  readonly output: "text" | "json";
}

export interface LbDeleteOptions extends LbOptions {
  /** Whether to also release the static address. */
  readonly address: boolean;
}

/**
 * Creates the load balancer in front of the nodes. If some parts already exist, only the missing parts are created.
 * @throws the error of the first failed step; all errors are reported
 */
export async function lbCreate(config: ClusterConfig, context: Context, options: LbOptions): Promise<number> {
  await using compute = open(config);
  const wanted = await locate(config, compute, context.signal);
  const results = await runSteps(loadBalancerSteps(wanted), compute, { context, options });
  const address = results.some(hasFailed) ? undefined : await publicAddress(compute, wanted, context.signal);
  if (address !== undefined && options.output === "text") context.write(`https://${address}:${wanted.port}\n`);
  return finish(results, { context, options, document: { address } });
}

/**
 * Removes the load balancer, except for the parts that are still used for something else.
 * @throws the error of the first failed step; all errors are reported
 */
export async function lbDelete(config: ClusterConfig, context: Context, options: LbDeleteOptions): Promise<number> {
  await using compute = open(config);
  const named = loadBalancerConfig(config, []);
  const names = config.nodes.map(({ name }) => name);
  const instances = await membersNamed(compute, named, { names, signal: context.signal });
  const steps = deleteLoadBalancerSteps({ ...named, instances }, { address: options.address });
  return finish(await runSteps(steps, compute, { context, options }), { context, options, document: {} });
}

/**
 * Prints the state of the load balancer. Returns exit code 0 if everything is as configured and every backend is
 * healthy, otherwise 2.
 */
export async function lbStatus(config: ClusterConfig, context: Context, options: LbOptions): Promise<number> {
  await using compute = open(config);
  const wanted = await locate(config, compute, context.signal);
  const [plan, backends] = await Promise.all([
    planSteps(loadBalancerSteps(wanted), compute, context.signal),
    poolHealth(compute, wanted, context.signal),
  ]);
  const address = backends.find((backend) => backend.address !== "")?.address;
  if (options.output === "json") context.write(json({ address, steps: plan.map(plannedToJson), backends }));
  else context.write(formatStatus(plan, backends));
  const sound = plan.every(({ drift, error }) => drift === null && error === null);
  return sound && backends.every(({ state }) => state === "HEALTHY") ? 0 : 2;
}

function open(config: ClusterConfig): Compute & AsyncDisposable {
  if (config.loadBalancer === "none") {
    throw new KhwError("INVALID_ARGUMENT", "khw does not manage a load balancer here (loadBalancer: none)", {
      hint: "use --load-balancer gce",
    });
  }
  return openCompute(computeConnection(config), config.timeouts.compute);
}

async function locate(config: ClusterConfig, compute: Compute, signal: AbortSignal): Promise<LoadBalancerConfig> {
  const wanted = loadBalancerConfig(config, []);
  const names = config.nodes.map(({ name }) => name);
  if (names.length === 0) {
    throw new KhwError("INVALID_ARGUMENT", "no nodes given", { hint: "use --nodes controller-0,1,2" });
  }
  const place = { ...wanted, zone: config.gce.zone };
  return { ...wanted, instances: await locateInstances(compute, names, { place, signal }) };
}

type NamedResult = StepResult & { readonly step: Step<Compute> };

interface Output {
  readonly context: Context;
  readonly options: LbOptions;
}

/** Applies the steps, and prints a line after each step. */
async function runSteps(steps: readonly Step<Compute>[], compute: Compute, { context, options }: Output) {
  const titles = new Map(steps.map(({ id, title }) => [id, title]));
  const results = await applySteps(steps, compute, {
    signal: context.signal,
    emit: (event) => {
      if (event.kind !== "finished" || options.output === "json") return;
      context.write(`${event.result.outcome.padEnd(9)}  ${titles.get(event.step) ?? event.step}\n`);
    },
  });
  return steps.flatMap((step, index): NamedResult[] => {
    const result = results[index];
    return result === undefined ? [] : [{ ...result, step }];
  });
}

function finish(
  results: readonly NamedResult[],
  { context, options, document }: Output & { document: object },
): number {
  if (options.output === "json") context.write(json({ ...document, steps: results.map(resultToJson) }));
  const [first, ...others] = results.flatMap((result) => (result.outcome === "failed" ? [result.error] : []));
  for (const error of others) context.warn(`${formatError(error)}\n`);
  if (first !== undefined) throw first;
  return 0;
}

function hasFailed({ outcome }: StepResult): boolean {
  return outcome === "failed" || outcome === "skipped";
}

function resultToJson({ step, ...result }: NamedResult): object {
  const error = result.outcome === "failed" ? { error: toDetail(result.error) } : {};
  return { id: step.id, title: step.title, ...result, ...error };
}

function plannedToJson({ step, drift, error }: PlannedStep<Compute>): object {
  return { id: step.id, title: step.title, drift, error: error === null ? null : toDetail(error) };
}

function json(document: object): string {
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function formatStatus(plan: readonly PlannedStep<Compute>[], backends: readonly BackendHealth[]): string {
  const lines = plan.map(({ step, drift, error }) => {
    if (error !== null) return `error    ${formatError(error)}`;
    return drift === null ? `ok       ${step.title}` : `differs  ${step.id}: ${drift.summary}`;
  });
  const health = backends.map(({ name, zone, state }) => `${state.padEnd(9)}  ${name} (${zone})`);
  return [...lines, ...health].map((line) => `${line}\n`).join("");
}
