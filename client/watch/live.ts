import type { Paint } from "../terminal/colour.ts";
import type { ClusterState } from "../status/state.ts";
import type { Display } from "./events.ts";
import { frame } from "./frame.ts";
import { openScreen, type Size } from "./screen.ts";

export interface LiveOptions {
  readonly write: (text: string) => void;
  readonly size: () => Size;
  readonly paint: Paint;
}

/** Faster updates would be unreadable, and drawing a long table takes time. */
const drawMillis = 250;
/**
 * Each redraw updates the displayed time, so that the user sees that the watch is running. It also adapts to a new
 * terminal size.
 */
const idleMillis = 1_000;

/** Shows a table that is redrawn in place, for terminals. */
export function liveDisplay({ write, size, paint }: LiveOptions): Display {
  const screen = openScreen(write);
  let latest: (() => ClusterState) | undefined;
  let last = -Infinity;
  let due = Infinity;
  let timer: NodeJS.Timeout | undefined;
  const drawAt = (time: number): void => {
    if (time >= due) return;
    due = time;
    clearTimeout(timer);
    timer = setTimeout(draw, Math.max(0, time - performance.now()));
  };
  const draw = (): void => {
    last = performance.now();
    due = Infinity;
    drawAt(last + idleMillis);
    if (latest === undefined) return;
    const { rows, columns } = size();
    screen.draw(frame(latest(), { rows: rows - 1, now: Date.now(), paint }), { rows, columns });
  };
  return {
    hear: (_, cluster) => {
      latest = cluster;
      drawAt(last + drawMillis);
    },
    close: () => {
      clearTimeout(timer);
      screen.close();
    },
  };
}
