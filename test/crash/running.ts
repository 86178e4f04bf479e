/** Starts a command of khw-client, and observes its events. */
import { runClient, type RunningClient } from "../fixtures/faults.ts";
import type { RunResult } from "../testbed/command.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { etcdRuns, eventName, type TimedEvent } from "./events.ts";

/** The arguments of khw-client. */
export type Command = readonly string[];

/** A list of commands, and the machines that the commands change. */
export interface Subject {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  /** The commands, in the order in which they run. Each command must print its events as JSON. */
  readonly commands: readonly Command[];
  /** Whether a command can run again after it has succeeded. Default: true. */
  readonly repeatable?: boolean;
  /** Resolves when a machine is ready for the command after it has been switched on again. */
  readonly ready?: (node: TestbedNode) => Promise<void>;
}

/** The result of a run of the command. */
export interface Ended {
  readonly code: number;
  readonly seconds: number;
  /** The last line of the run's error output. */
  readonly said: string;
}

/** A running command. */
export interface Running {
  readonly command: Command;
  readonly events: readonly TimedEvent[];
  readonly client: RunningClient;
  readonly ended: Promise<Ended>;
  readonly isRunning: () => boolean;
  /** Resolves after this many events. */
  readonly seen: (count: number) => Promise<void>;
  /** Resolves when the node's etcd has been started. */
  readonly etcdStarted: Promise<void>;
}

/** Starts a command. */
export function begin({ testbed, workstation: { folder: cwd } }: Subject, command: Command): Running {
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
  let isRunning = true;
  const ended = watchEnd(client).finally(() => {
    isRunning = false;
  });
  return { command, events, client, ended, isRunning: () => isRunning, seen, etcdStarted };
}

/** @throws when the command fails */
export async function succeed({ command, ended, client }: Running): Promise<void> {
  if ((await ended).code === 0) return;
  const { code, stdout, stderr } = await client.ended;
  throw new Error(`khw-client ${command.join(" ")} ended with ${code}: ${stderr}${stdout}`);
}

async function watchEnd({ ended }: RunningClient): Promise<Ended> {
  const start = performance.now();
  const result = await ended;
  return { code: result.code, seconds: Math.round((performance.now() - start) / 100) / 10, said: lastWords(result) };
}

function lastWords({ stderr }: RunResult): string {
  return stderr.trim().split("\n").slice(0, 3).join(" | ").slice(0, 500);
}
