/** Runs a command, either interrupted at a point or undisturbed. */
import { setTimeout as delay } from "node:timers/promises";

import { runClient, type RunningClient } from "../fixtures/faults.ts";
import type { RunResult } from "../testbed/command.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { etcdRuns, eventName, type TimedEvent } from "./events.ts";
import type { Point, Victim } from "./points.ts";
import { agentListens } from "./stage.ts";

/** The maximum number of runs. More repetitions would not repair a machine. */
const mostRuns = 6;

/** A command, and the machines that it changes. */
export interface Subject {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  /** The arguments of khw-client. The command must print its events as JSON. */
  readonly command: readonly string[];
  /** Resolves when a machine that was switched on is ready for the command. */
  readonly ready?: (node: TestbedNode) => Promise<void>;
}

/** The result of a run of the command. */
export interface Ended {
  readonly code: number;
  readonly seconds: number;
  /** The last error line of the run. */
  readonly said: string;
}

/**
 * Runs the command undisturbed and returns its events.
 * @throws when the command fails
 */
export async function undisturbed(subject: Subject): Promise<TimedEvent[]> {
  const { events, client } = begin(subject);
  const { code, stdout, stderr } = await client.ended;
  if (code !== 0) throw new Error(`the undisturbed command ended with ${code}: ${stderr}${stdout}`);
  return events;
}

/** The result of a point. */
export interface Killed {
  /** The last event before the kill. */
  readonly event: string;
  /** False if the victim had already ended or had not started yet. */
  readonly killed: boolean;
  /** All runs of the command, the interrupted run first. */
  readonly runs: readonly Ended[];
}

/**
 * Interrupts the command, then repeats it until it succeeds.
 * @throws when the command never succeeds
 */
export async function cutShort(subject: Subject, { victim, node: name, after, delay: millis }: Point): Promise<Killed> {
  const node = subject.testbed.nodes.find((each) => each.name === name);
  if (node === undefined) throw new Error(`the testbed has no ${name}`);
  const agent = await mainPid(node, "khw-agent.service");
  const { events, client, seen, etcdStarted } = begin(subject);
  const ended = watchEnd(client);
  await Promise.race([seen(after), client.ended]);
  // Independent steps end in a different order in each run. So etcd may not run yet when this event is printed.
  if (victim === "etcd") await Promise.race([etcdStarted, client.ended]);
  await Promise.race([delay(millis), client.ended]);
  const event = events.at(-1)?.name ?? "the start";
  const killed = await kill(victim, { node, client, agent });
  const runs = [await ended];
  if (victim === "machine") await node.powerOn();
  if (victim === "machine" || victim === "agent") await agentListens(node, victim === "agent" ? agent : undefined);
  if (victim === "machine") await subject.ready?.(node);
  for (;;) {
    const next = await watchEnd(begin(subject).client);
    runs.push(next);
    if (next.code === 0) return { event, killed, runs };
    if (runs.length > mostRuns) throw new Error(`fails: ${JSON.stringify(runs)}`);
  }
}

function begin({ testbed, workstation: { folder: cwd }, command }: Subject): {
  readonly events: TimedEvent[];
  readonly client: RunningClient;
  /** Resolves after this many events. */
  readonly seen: (count: number) => Promise<void>;
  /** Resolves when the node's etcd has been started. */
  readonly etcdStarted: Promise<void>;
} {
  const start = performance.now();
  const events: TimedEvent[] = [];
  const waiting = new Map<number, () => void>();
  const { promise: etcdStarted, resolve: noteEtcd } = Promise.withResolvers<void>();
  const onLine = (line: string): void => {
    const name = eventName(line);
    if (name === undefined) return;
    events.push({ name, at: Math.round(performance.now() - start) });
    waiting.get(events.length)?.();
    if (etcdRuns.test(name)) noteEtcd();
  };
  const client = runClient(testbed, command, { cwd, onLine });
  const seen = (count: number): Promise<void> =>
    new Promise((resolve) => {
      if (events.length >= count) resolve();
      else waiting.set(count, resolve);
    });
  return { events, client, seen, etcdStarted };
}

async function watchEnd({ ended }: RunningClient): Promise<Ended> {
  const start = performance.now();
  const result = await ended;
  return { code: result.code, seconds: Math.round((performance.now() - start) / 100) / 10, said: lastWords(result) };
}

function lastWords({ stderr }: RunResult): string {
  return stderr.trim().split("\n").slice(0, 3).join(" | ").slice(0, 500);
}

interface Scene {
  readonly node: TestbedNode;
  readonly client: RunningClient;
  readonly agent: string;
}

/** Returns false if the victim does not run. */
async function kill(victim: Victim, { node, client, agent }: Scene): Promise<boolean> {
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
