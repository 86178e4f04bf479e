import { lineMasker } from "./mask.ts";

/** Keeps the newest lines of text of any length, and masks them as they arrive. */
export interface Tail {
  add(line: string): void;
  /** Returns the kept lines, after a line with the number of older lines that were dropped. */
  text(): string;
}

export function createTail(largestBytes: number): Tail {
  const masked = lineMasker();
  let lines: string[] = [];
  let first = 0;
  let bytes = 0;
  let dropped = 0;
  return {
    add: (line) => {
      for (const part of masked(line)) {
        lines.push(part);
        bytes += Buffer.byteLength(part) + 1;
      }
      while (bytes > largestBytes && first < lines.length) {
        bytes -= Buffer.byteLength(lines[first] ?? "") + 1;
        first += 1;
        dropped += 1;
      }
      if (first < lines.length / 2) return;
      lines = lines.slice(first);
      first = 0;
    },
    text: () => {
      const head = dropped === 0 ? [] : [`[${dropped} older lines were left out]`];
      return [...head, ...lines.slice(first), ""].join("\n");
    },
  };
}
