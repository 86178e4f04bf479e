import { truncate } from "../terminal/cut.ts";

export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** A part of the terminal that is redrawn in place. */
export interface Screen {
  draw(lines: readonly string[], size: Size): void;
  /** Leaves the last frame on the terminal, with the cursor below the frame. */
  close(): void;
}

const escape = "\u{1b}[";
const hideCursor = `${escape}?25l`;
const showCursor = `${escape}?25h`;
/** Terminals that support this sequence show a frame all at once; others ignore it. */
const beginFrame = `${escape}?2026h`;
const endFrame = `${escape}?2026l`;
const eraseLine = `${escape}K`;
const eraseBelow = `${escape}J`;
const clear = `${escape}2J${escape}H`;

/**
 * Each frame is one write that overwrites the previous frame line by line. The previous frame is not cleared first, so
 * nothing flickers. Lines never wrap, and a frame is never higher than the terminal, so the position of the first line
 * is known.
 */
export function openScreen(write: (text: string) => void): Screen {
  let drawn = 0;
  let last = "";
  let lastSize: Size | undefined;
  return {
    draw: (lines, size) => {
      const resized = lastSize !== undefined && (lastSize.rows !== size.rows || lastSize.columns !== size.columns);
      const shown = lines.slice(0, Math.max(1, size.rows - 1)).map((line) => truncateLine(line, size.columns));
      const frame = shown.map((line) => `${line}${eraseLine}\n`).join("");
      if (frame === last && !resized) return;
      // The position of the old lines is unknown after the width changes.
      const home = resized ? clear : drawn === 0 ? "" : `${escape}${drawn}A\r`;
      write(`${beginFrame}${hideCursor}${home}${frame}${eraseBelow}${endFrame}`);
      [drawn, last, lastSize] = [shown.length, frame, size];
    },
    close: () => {
      if (lastSize !== undefined) write(showCursor);
    },
  };
}

// oxlint-disable-next-line no-control-regex -- color codes contain control characters
const colour = /(\u{1b}\[[\d;]*m)/u;

/**
 * Shortens the line to this number of characters, not counting color codes. Keeps all color codes, so that no color
 * stays on.
 */
export function truncateLine(line: string, columns: number): string {
  let room = columns;
  const kept = line.split(colour).map((piece) => {
    if (colour.test(piece)) return piece;
    const shown = room <= 0 ? "" : truncate(piece, room);
    room -= piece.length;
    return shown;
  });
  return kept.join("");
}
