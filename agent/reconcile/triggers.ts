import { OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Step } from "../../proto/step.ts";
import type { StatusStore } from "../state/status-store.ts";
import type { Os } from "../os/os.ts";
import type { MachineLock } from "../state/machine-lock.ts";

export interface TriggerOptions {
  readonly os: Os;
  readonly machineLock: MachineLock;
  readonly statusStore: StatusStore;
  readonly signal: AbortSignal;
  /** Requests a check within this many milliseconds. */
  readonly within: (millis: number) => void;
}

/** Requests an early check when a watched folder or unit changes, or when an operation starts or ends. */
export interface Triggers {
  /** Watches the folders and units of these steps, and no others. */
  watch(steps: readonly Step<Os>[]): void;
}

/** How long to wait after a file change, because a manual change is often followed by more changes. */
const settleMillis = 100;
/** How long to wait after a unit change; a unit in a crash loop changes state several times during each crash. */
const unitMillis = 2_000;

export function createTriggers({ os, machineLock, statusStore, signal, within }: TriggerOptions): Triggers {
  let heeded = "";
  let stopWatching = (): void => {};

  const stops = [
    machineLock.whenFree(() => within(0)),
    statusStore.listen(({ operation }) => {
      // A running operation pauses the drift check, and the status must show the pause at once.
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
