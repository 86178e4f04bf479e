import { OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Step } from "../../proto/step.ts";
import type { Board } from "../state/status-store.ts";
import type { Os } from "../os/os.ts";
import type { Writer } from "../state/machine-lock.ts";

export interface TriggerOptions {
  readonly os: Os;
  readonly writer: Writer;
  readonly board: Board;
  readonly signal: AbortSignal;
  /** Asks for a check within so many milliseconds. */
  readonly within: (millis: number) => void;
}

/** What asks for a check before its time: changes in the folders that the steps look at, of their units, and ends of operations. */
export interface Triggers {
  /** Heeds what these steps look at, instead of what was heeded before. */
  watch(steps: readonly Step<Os>[]): void;
}

/** A change by hand is often one of several. */
const settleMillis = 100;
/** A unit that crashes again and again changes several times each time. */
const unitMillis = 2_000;

export function createTriggers({ os, writer, board, signal, within }: TriggerOptions): Triggers {
  let heeded = "";
  let stopWatching = (): void => {};

  const stops = [
    writer.whenFree(() => within(0)),
    board.listen(({ operation }) => {
      // One that runs pauses it, which is to be seen at once.
      if (operation !== undefined)
        within(operation.state === OperationState.OPERATION_STATE_RUNNING ? 0 : settleMillis);
    }),
  ];
  signal.addEventListener(
    "abort",
    () => {
      stopWatching();
      for (const stop of stops) stop();
    },
    { once: true },
  );

  return {
    watch: (steps) => {
      const folders = [...new Set(steps.flatMap(({ watches = [] }) => watches))];
      const units = steps.flatMap(({ id }) =>
        id.startsWith("service/") ? `${id.slice("service/".length)}.service` : [],
      );
      const wanted = JSON.stringify([folders, units]);
      if (wanted === heeded || signal.aborted) return;
      heeded = wanted;
      stopWatching();
      const stopFiles = os.files.watch(folders, () => within(settleMillis));
      const stopUnits = os.systemd.watch(units, () => within(unitMillis));
      stopWatching = () => {
        stopFiles();
        stopUnits();
      };
    },
  };
}
