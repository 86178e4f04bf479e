/** The bench's results as Markdown. */
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";

import { median } from "./time.ts";

/** What a figure is to be at most. */
export interface Reach {
  readonly value: number;
  readonly atMost: number;
  readonly unit: string;
}

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly measured: string;
  /** What it is measured beside; empty where it stands alone. */
  readonly beside?: string;
  readonly reach?: Reach;
}

/** The table, in the order of the rows. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, measured, beside = "", reach }) => [
    what,
    measured,
    beside,
    reach === undefined ? "" : tellReach(reach),
  ]);
  return [["", "khw", "beside it", "reach"], ["---", "---", "---", "---"], ...lines]
    .map((cells) => `| ${cells.join(" | ")} |\n`)
    .join("");
}

function tellReach({ value, atMost, unit }: Reach): string {
  const met = value <= atMost ? "met" : "**missed**";
  return `${met}: ${value.toPrecision(3)}${unit}, at most ${atMost}${unit}`;
}

/** "31.2 s (30.1, 31.2, 33.0)": the median, then every run, so that nobody takes noise for a result. */
export function seconds(values: readonly number[]): string {
  return `${median(values).toFixed(1)} s${values.length > 1 ? ` (${values.map((value) => value.toFixed(1)).join(", ")})` : ""}`;
}

/** The machine that it ran on, and how busy that was. */
export async function machine(): Promise<string> {
  const system = /^PRETTY_NAME="(.*)"$/m.exec(await readFile("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  const [processor] = cpus();
  const memory = (totalmem() / 1024 ** 3).toFixed(0);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  return `${processor?.model ?? "a processor"}, ${availableParallelism()} cores, ${memory} GiB; ${system}, Linux ${release()}; Node ${process.versions.node}; load ${load}`;
}
