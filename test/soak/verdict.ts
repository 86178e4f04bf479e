/** Judges the samples of a soak test. */
import { growth } from "./fit.ts";
import type { Sample } from "./sample.ts";

/** A sample and the time when it was taken. */
export interface Taken extends Sample {
  /** Seconds since the start. */
  readonly at: number;
}

/** A row of the table in docs/soak.md. */
export interface Verdict {
  readonly what: string;
  readonly unit: string;
  readonly first: number;
  readonly last: number;
  readonly most: number;
  readonly growth: number;
  readonly bound: number;
  readonly holds: boolean;
}

/**
 * The values, and the limits on their growth over the last two thirds of the run. Growth within a limit counts as
 * noise. The comments give the reasons for the limits.
 */
const bounds: readonly {
  readonly what: string;
  readonly unit: string;
  readonly key: keyof Sample;
  readonly bound: number;
}[] = [
  // The amount of memory that the garbage collector has not freed yet varies by some megabytes.
  { what: "resident memory", unit: "MB", key: "resident", bound: 4 },
  { what: "own memory", unit: "MB", key: "anonymous", bound: 4 },
  // A few probes and files may be open when a sample is taken.
  { what: "descriptors", unit: "", key: "descriptors", bound: 2 },
  { what: "threads", unit: "", key: "threads", bound: 1 },
  // The history file grows to its limit, is rotated, and then grows again.
  { what: "/var/lib/khw-agent", unit: "kB", key: "stateDisk", bound: 256 },
  { what: "files in this folder", unit: "", key: "stateFiles", bound: 1 },
  { what: "temporary files left over", unit: "", key: "leftovers", bound: 1 },
];

/** Returns a verdict for each value that must not grow. */
export function verdicts(samples: readonly Taken[]): Verdict[] {
  return bounds.map(({ what, unit, key, bound }) => {
    const values = samples.map((sample) => sample[key]);
    const grown = growth(samples.map((sample) => ({ at: sample.at, value: sample[key] })));
    const [first = 0, last = 0] = [values[0], values.at(-1)];
    return { what, unit, first, last, most: Math.max(...values), growth: grown, bound, holds: grown <= bound };
  });
}

/** Returns the verdicts as a Markdown table. */
export function table(list: readonly Verdict[]): string {
  const show = (value: number, unit: string): string => `${value.toFixed(unit === "" ? 0 : 1)}${unit && ` ${unit}`}`;
  return [
    "| | first sample | last sample | maximum | growth over the last two thirds | limit | |\n",
    "|---|---:|---:|---:|---:|---:|---|\n",
    ...list.map(({ what, unit, first, last, most, growth, bound, holds }) => {
      const cells = [
        what,
        ...[first, last, most].map((value) => show(value, unit)),
        `${growth.toFixed(2)} ${unit}`.trim(),
      ];
      return `| ${[...cells, `${bound} ${unit}`.trim(), holds ? "holds" : "**grows**"].join(" | ")} |\n`;
    }),
  ].join("");
}
