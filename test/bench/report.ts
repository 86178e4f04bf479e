/** Formats the bench's results as Markdown. */
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";

import { median } from "./time.ts";

/** A measured value and its upper limit. */
export interface Reach {
  readonly value: number;
  readonly atMost: number;
  readonly unit: string;
}

/** A row of the table. */
export interface Row {
  readonly what: string;
  readonly measured: string;
  /** The value that khw's value is compared with; absent or empty if there is no comparison. */
  readonly beside?: string;
  readonly reach?: Reach;
}

/** Returns the table, in the order of the rows. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, measured, beside = "", reach }) => [
    what,
    measured,
    beside,
    reach === undefined ? "" : tellReach(reach),
  ]);
  return [["", "khw", "compared with", "target"], ["---", "---", "---", "---"], ...lines]
    .map((cells) => `| ${cells.join(" | ")} |\n`)
    .join("");
}

function tellReach({ value, atMost, unit }: Reach): string {
  const met = value <= atMost ? "met" : "**missed**";
  return `${met}: ${value.toPrecision(3)}${unit}, at most ${atMost}${unit}`;
}

/** Returns the median followed by the value of every run, so that noise is visible: "31.2 s (30.1, 31.2, 33.0)". */
export function seconds(values: readonly number[]): string {
  return `${median(values).toFixed(1)} s${values.length > 1 ? ` (${values.map((value) => value.toFixed(1)).join(", ")})` : ""}`;
}

/** Returns a description of the host, including its load. */
export async function machine(): Promise<string> {
  const system = /^PRETTY_NAME="(.*)"$/m.exec(await readFile("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  const [processor] = cpus();
  const memory = (totalmem() / 1024 ** 3).toFixed(0);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  return `${processor?.model ?? "a processor"}, ${availableParallelism()} cores, ${memory} GiB; ${system}, Linux ${release()}; Node ${process.versions.node}; load ${load}`;
}
