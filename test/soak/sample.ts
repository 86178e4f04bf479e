import type { TestbedNode } from "../testbed/index.ts";

/** The resources that an agent uses on its machine. */
export interface Sample {
  /**
   * The process id. If the id changes, the agent has restarted, and its values are not comparable with earlier values.
   */
  readonly pid: number;
  /** Megabytes (10^6 bytes). */
  readonly resident: number;
  readonly anonymous: number;
  readonly descriptors: number;
  readonly threads: number;
  /** The size of /var/lib/khw-agent in kilobytes (10^3 bytes). */
  readonly stateDisk: number;
  /**
   * The number of files in /var/lib/khw-agent. `leftovers` counts the temporary files that unfinished writes have left
   * next to the controller's files.
   */
  readonly stateFiles: number;
  readonly leftovers: number;
  /** CPU time in seconds, including child processes that have exited. */
  readonly cpu: number;
}

const script = `
pid=$(systemctl show -P MainPID khw-agent)
echo "Pid: $pid"
grep -E '^(VmRSS|RssAnon|Threads):' /proc/$pid/status
echo "Descriptors: $(ls /proc/$pid/fd | wc -l)"
echo "Disk: $(du -sb /var/lib/khw-agent | cut -f1)"
echo "Files: $(find /var/lib/khw-agent -type f | wc -l)"
echo "Leftovers: $(find /var/lib/khw-agent /etc/kubernetes /etc/systemd/system /etc/nginx /var/lib/kubernetes /usr/local -name '.*.khw-new' | wc -l)"
echo "Stat: $(sed 's/.*) //' /proc/$pid/stat)"
echo "Ticks: $(getconf CLK_TCK)"`;

/** @throws Error if the agent is not running */
export async function sample(node: TestbedNode): Promise<Sample> {
  const shown = await node.must(["sh", "-ec", script]);
  const text = (name: string): string => {
    const [, found] = new RegExp(`^${name}:\\s+(.*)$`, "m").exec(shown) ?? [];
    if (found === undefined) throw new Error(`no ${name} in ${shown}`);
    return found;
  };
  const number = (name: string): number => Number.parseInt(text(name), 10);
  // The list starts at field 3 of the file. Fields 14 to 17 are utime, stime, cutime and cstime.
  const ticks = text("Stat").split(" ").slice(11, 15).map(Number);
  return {
    pid: number("Pid"),
    resident: (number("VmRSS") * 1024) / 1e6,
    anonymous: (number("RssAnon") * 1024) / 1e6,
    descriptors: number("Descriptors"),
    threads: number("Threads"),
    stateDisk: number("Disk") / 1e3,
    stateFiles: number("Files"),
    leftovers: number("Leftovers"),
    cpu: ticks.reduce((sum, value) => sum + value, 0) / number("Ticks"),
  };
}
