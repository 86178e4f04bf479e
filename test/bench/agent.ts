/** Measures the agent's resource usage on its machine. */
import { setTimeout as delay } from "node:timers/promises";

import type { TestbedNode } from "../testbed/index.ts";
import { median } from "./time.ts";

/**
 * A process's resource usage: memory in megabytes (10^6 bytes) and CPU time in seconds. The CPU time includes child
 * processes that have exited.
 */
interface Usage {
  readonly resident: number;
  readonly anonymous: number;
  readonly cpuSeconds: number;
}

/** The resource usage of an idle agent that receives no calls. */
export interface Idle {
  /** Megabytes (10^6 bytes). */
  readonly resident: number;
  /**
   * The process's anonymous memory. All other resident memory consists of pages of the program file, which the kernel
   * can drop at any time.
   */
  readonly anonymous: number;
  /** Percent of one processor. */
  readonly cpu: number;
}

const idleMs = 60_000;

/** Observes the agents for a minute. Returns the median resource usage of all nodes. */
export async function measureIdle(nodes: readonly TestbedNode[]): Promise<Idle> {
  const before = await Promise.all(nodes.map(usage));
  await delay(idleMs);
  const after = await Promise.all(nodes.map(usage));
  return {
    resident: median(after.map(({ resident }) => resident)),
    anonymous: median(after.map(({ anonymous }) => anonymous)),
    cpu: median(
      after.map(({ cpuSeconds }, index) => ((cpuSeconds - (before[index]?.cpuSeconds ?? 0)) / (idleMs / 1000)) * 100),
    ),
  };
}

/**
 * Starts the agent five times in a row. Returns how many seconds each process took to send READY, as recorded by
 * systemd.
 */
export async function measureStart(node: TestbedNode): Promise<readonly number[]> {
  const seconds: number[] = [];
  for (let start = 0; start < 5; start++) {
    await node.must(["systemctl", "restart", "khw-agent"]);
    const shown = await node.must([
      "systemctl",
      "show",
      "--property=ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic",
      "khw-agent",
    ]);
    seconds.push((number(shown, /^ActiveEnter\w+=(\d+)/m) - number(shown, /^ExecMain\w+=(\d+)/m)) / 1e6);
  }
  return seconds;
}

async function usage(node: TestbedNode): Promise<Usage> {
  const script = 'cd "/proc/$(systemctl show -P MainPID khw-agent)" && cat status stat && getconf CLK_TCK';
  const shown = await node.must(["sh", "-ec", script]);
  const [stat = "", ticks = ""] = shown.trimEnd().split("\n").slice(-2);
  // Parsing starts at the third field, because the second field (the name in parentheses) can contain any character.
  // utime, stime, cutime and cstime are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const cpu = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return {
    resident: (number(shown, /^VmRSS:\s+(\d+)/m) * 1024) / 1e6,
    anonymous: (number(shown, /^RssAnon:\s+(\d+)/m) * 1024) / 1e6,
    cpuSeconds: cpu / Number(ticks),
  };
}

function number(text: string, pattern: RegExp): number {
  const [, found] = pattern.exec(text) ?? [];
  if (found === undefined) throw new Error(`no ${pattern.source} in ${text}`);
  return Number(found);
}
