/** Runs commands one after another, either interrupted at a point or undisturbed. */
import { setTimeout as delay } from "node:timers/promises";

import type { RunningClient } from "../fixtures/faults.ts";
import type { TestbedNode } from "../testbed/index.ts";
import type { TimedEvent } from "./events.ts";
import type { Point, Victim } from "./points.ts";
import { begin, type Command, type Ended, type Running, type Subject, succeed } from "./running.ts";
import { agentListens } from "./stage.ts";

/** The maximum number of runs. More repetitions would not repair a machine. */
const mostRuns = 6;

/**
 * Runs the commands undisturbed and returns their events.
 * @throws when a command fails
 */
export async function undisturbed(subject: Subject): Promise<TimedEvent[]> {
  const all: TimedEvent[] = [];
  for (const command of subject.commands) {
    const start = all.at(-1)?.at ?? 0;
    const run = begin(subject, command);
    await succeed(run);
    all.push(...run.events.map(({ name, at }) => ({ name, at: start + at })));
  }
  return all;
}

/** The result of a point. */
export interface Killed {
  /** The last event before the kill. */
  readonly event: string;
  /**
   * Whether the victim was killed. False if the command or the victim had already ended, or if the victim had not
   * started.
   */
  readonly killed: boolean;
  /** All runs of the interrupted command, the interrupted run first. */
  readonly runs: readonly Ended[];
}

/**
 * Interrupts one of the commands, repeats it until it succeeds, and then runs the later commands. If the command has
 * succeeded although the victim was killed, repeats it only if it can be repeated.
 * @throws when the interrupted command never succeeds, or when another command fails
 */
export async function cutShort(subject: Subject, point: Point): Promise<Killed> {
  const node = subject.testbed.nodes.find((each) => each.name === point.node);
  if (node === undefined) throw new Error(`the testbed has no ${point.node}`);
  const agent = await mainPid(node, "khw-agent.service");
  const { run, rest } = await runUntil(subject, point.after);
  const killed = await interrupt(run, point, { node, agent });
  const runs = [await run.ended];
  await returned(subject, point, { node, agent });
  const fewestRuns = subject.repeatable === false ? 1 : 2;
  while (runs.at(-1)?.code !== 0 || runs.length < fewestRuns) {
    if (runs.length > mostRuns) throw new Error(`fails: ${JSON.stringify(runs)}`);
    // A reset ends with a restart of the agent, even if the client was killed.
    await Promise.all(subject.testbed.nodes.map((each) => agentListens(each)));
    runs.push(await begin(subject, run.command).ended);
  }
  for (const command of rest) await succeed(begin(subject, command));
  return { ...killed, runs };
}

/**
 * Runs the commands until this number of events has occurred. Returns the command that is running at that point, and
 * the later commands.
 */
async function runUntil(
  subject: Subject,
  after: number,
): Promise<{ readonly run: Running; readonly rest: readonly Command[] }> {
  let count = after;
  for (const [index, command] of subject.commands.entries()) {
    const run = begin(subject, command);
    const rest = subject.commands.slice(index + 1);
    const isReached = await Promise.race([run.seen(count).then(() => true), run.ended.then(() => false)]);
    if (isReached || rest.length === 0) return { run, rest };
    await succeed(run);
    count -= run.events.length;
  }
  throw new Error("no command is given");
}

interface Scene {
  readonly node: TestbedNode;
  /** The process ID that the node's agent had before the commands ran. */
  readonly agent: string;
}

/** Waits for the point's time, then kills the victim. */
async function interrupt(
  run: Running,
  { victim, delay: millis }: Point,
  { node, agent }: Scene,
): Promise<Pick<Killed, "event" | "killed">> {
  // Independent steps end in a different order in each run. Therefore etcd may not be running yet when this event is
  // printed.
  if (victim === "etcd") await Promise.race([run.etcdStarted, run.ended]);
  await Promise.race([delay(millis), run.ended]);
  const event = run.events.at(-1)?.name ?? "the start";
  const isRunning = run.isRunning();
  const killed = await kill(victim, { node, client: run.client, agent });
  return { event, killed: killed && isRunning };
}

/** Switches a killed machine on, and waits until the machine and its agent are ready for the command. */
async function returned(subject: Subject, { victim }: Point, { node, agent }: Scene): Promise<void> {
  if (victim === "machine") await node.powerOn();
  if (victim === "machine" || victim === "agent") await agentListens(node, victim === "agent" ? agent : undefined);
  if (victim === "machine") await subject.ready?.(node);
}

/** Returns false if the victim is not running. */
async function kill(
  victim: Victim,
  { node, client, agent }: Scene & { readonly client: RunningClient },
): Promise<boolean> {
  switch (victim) {
    case "agent":
      return signal(node, agent);
    case "machine":
      await node.powerOff();
      return true;
    case "client":
      return client.kill();
    case "etcd": {
      const pid = await mainPid(node, "etcd.service");
      return pid !== "0" && signal(node, pid);
    }
  }
}

async function mainPid(node: TestbedNode, unit: string): Promise<string> {
  return (await node.must(["systemctl", "show", "--property=MainPID", "--value", unit])).trim();
}

async function signal(node: TestbedNode, pid: string): Promise<boolean> {
  return (await node.run(["sh", "-c", 'kill -KILL "$0"', pid])).code === 0;
}
