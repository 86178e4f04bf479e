/** Measures the resources that the agent uses on its machine. */
import { setTimeout as delay } from "node:timers/promises";

import type { TestbedNode } from "../testbed/index.ts";
import { median } from "./time.ts";

/**
 * A process's resource usage: megabytes (10^6 bytes), and seconds of one processor, including ended child processes.
 */
interface Usage {
  readonly resident: number;
  readonly anonymous: number;
  readonly cpuSeconds: number;
}

/** The usage of an idle agent without callers. */
export interface Idle {
  /** Megabytes (10^6 bytes). */
  readonly resident: number;
  /**
   * The memory that only the process itself uses. The rest consists of pages of its program file, which the kernel can
   * drop at any time.
   */
  readonly anonymous: number;
  /** Percent of one processor. */
  readonly cpu: number;
}

const idleMs = 60_000;

/** Watches the agents for a minute; returns medians over the nodes. */
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
 * Measures five starts in sequence. Returns the seconds from each process start to the READY message, as systemd
 * records them.
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
  // Parses from the third field on, because the second field, the name in parentheses, may contain any character.
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
