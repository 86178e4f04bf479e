/**
 * Measures the times at which a fault on a node is caused, detected and repaired. All machines of a testbed share one
 * clock.
 */
import { setTimeout as delay } from "node:timers/promises";

import type { TestbedNode } from "../testbed/index.ts";
import type { Fault } from "./faults.ts";
import { ailments, type View, type Watch, type Word } from "./watch.ts";
import { wellByItself } from "./well.ts";

/** The times of detection and repair, in milliseconds since the fault. */
export interface Mended {
  readonly fault: string;
  readonly node: string;
  /** The time until an external client received a status or event that mentions an affected component or step. */
  readonly seen: number;
  /** The time until everything was healthy, according to both the agent's status and the machine itself. */
  readonly healthy: number;
}

export interface NotMended {
  readonly fault: string;
  readonly node: string;
  readonly problem: string;
}

export type Outcome = Mended | NotMended;

export interface MeasureOptions {
  readonly watch: Watch;
  /** The time limit for detection and repair together. */
  readonly deadlineMillis: number;
}

/** The delay between two checks of an unhealthy machine whose agent sends no messages. */
const lookAgainMillis = 500;

/**
 * Causes the fault on the node and measures how long detection and repair take. If the fault is not repaired, the
 * returned outcome describes the problem.
 */
export async function measure(fault: Fault, node: TestbedNode, options: MeasureOptions): Promise<Outcome> {
  const { watch, deadlineMillis } = options;
  const of = { fault: fault.name, node: node.name };
  const signal = AbortSignal.timeout(deadlineMillis);
  const before = watch.view(node.name);
  const words: Word[] = [];
  const stop = watch.listen((word) => word.node === node.name && words.push(word));
  try {
    const struck = await strike(fault, node);
    const told = (word: Word | undefined): number | undefined =>
      word !== undefined && word.node === node.name && word.at >= struck && names(word, fault, before)
        ? word.at
        : undefined;
    const early = words.map(told).find((at) => at !== undefined);
    const seen = early ?? (await watch.until(told, signal).catch(() => undefined));
    const healthy = await untilWell(node, watch, signal);
    if (seen === undefined)
      return { ...of, problem: "the fault was repaired, but no status or event mentioned the fault" };
    return { ...of, seen: seen - struck, healthy: Math.max(seen, healthy) - struck };
  } catch (error) {
    return { ...of, problem: error instanceof Error ? error.message : String(error) };
  } finally {
    stop();
  }
}

/**
 * Resolves when all nodes are healthy.
 * @throws Error with the remaining problems, if this takes more than this many milliseconds
 */
export async function allWell(nodes: readonly TestbedNode[], watch: Watch, millis: number): Promise<void> {
  const signal = AbortSignal.timeout(millis);
  await Promise.all(nodes.map((node) => untilWell(node, watch, signal)));
}

/**
 * Resolves when every source reports the node as healthy.
 * @throws Error with the remaining problems, if the signal aborts first
 */
export async function untilWell(node: TestbedNode, watch: Watch, signal: AbortSignal): Promise<number> {
  let last = "nothing was seen yet";
  while (!signal.aborted) {
    const ill = ailments(watch.view(node.name));
    if (ill.length === 0) {
      const at = Date.now();
      const differing = await watch.ask(node.name).then(
        ({ plan }) =>
          plan.steps.flatMap(({ id, drift, error }) => {
            const what = drift ?? error?.message;
            return what === undefined ? [] : [`${id}: ${what}`];
          }),
        (error: unknown) => [String(error)],
      );
      const unwell = differing.length === 0 ? await wellByItself(node) : "";
      if (differing.length === 0 && unwell === "") return at;
      last = [...differing, unwell].join("; ");
      await delay(lookAgainMillis);
    } else {
      last = ill.join("; ");
      const looking = AbortSignal.any([signal, AbortSignal.timeout(lookAgainMillis)]);
      await watch.until((word) => (word?.node === node.name ? true : undefined), looking).catch(() => {});
    }
  }
  throw new Error(`not healthy in time: ${last}`);
}

/** Causes the fault and returns its start time. The machines use the host's clock. */
async function strike({ prepare = "", strike: doing }: Fault, node: TestbedNode): Promise<number> {
  const [at] = (await node.must(["bash", "-ec", `${prepare}\ndate +%s%3N\n${doing}`])).split("\n");
  return Number(at);
}

/**
 * Whether a message reports the fault. The message must be about a component or step of the fault: a changed component,
 * a step with drift, or an event.
 */
function names(word: Word, { about }: Fault, before: View): boolean {
  switch (word.kind) {
    case "lost":
      return false;
    case "event":
      return about.includes(word.event.subject);
    case "status": {
      const { kind } = word.message;
      const changed = (kind?.value.components ?? []).filter((now) => {
        const was = before.components.get(now.name);
        const same = ["pid", "activeState", "subState", "health", "enabled", "restarts"] as const;
        return was === undefined || same.some((key) => was[key] !== now[key]);
      });
      const steps = kind?.value.drift?.steps ?? [];
      return [...changed.map(({ name }) => name), ...steps.map(({ id }) => id)].some((name) => about.includes(name));
    }
  }
}
