/** What the agent costs its machine. */
import { setTimeout as delay } from "node:timers/promises";

import type { TestbedNode } from "../testbed/index.ts";
import { median } from "./time.ts";

/** What a process has of its machine: megabytes (10^6 bytes), and seconds of one processor, ended children included. */
interface Usage {
  readonly resident: number;
  readonly anonymous: number;
  readonly cpuSeconds: number;
}

/** An agent that nobody asks anything of. */
export interface Idle {
  /** Megabytes (10^6 bytes). */
  readonly resident: number;
  /** What of that is the process's own: the rest is pages of its program, which the kernel can drop at any time. */
  readonly anonymous: number;
  /** Percent of one processor. */
  readonly cpu: number;
}

const idleMs = 60_000;

/** Watches the agents for a minute; medians over the nodes. */
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

/** Seconds from systemd's start of the process to the agent's READY, as systemd has them; five starts, one after the other. */
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
  // From the third field on, as the second, the name in brackets, may hold anything: utime, stime, cutime, cstime are 14 to 17.
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
