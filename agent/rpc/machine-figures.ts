import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Node } from "../node.ts";

const betweenMillis = 30_000;

/** Publishes the machine's load at regular intervals, but only while at least one caller is watching. */
export interface MachineFigures {
  /** Counts a caller as watching until the returned object is disposed of. */
  watch(node: Pick<Node, "os" | "statusStore">): Disposable;
}

export function createMachineFigures(options: {
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}): MachineFigures {
  const { log, signal } = options;
  let watchers = 0;
  let timer: NodeJS.Timeout | undefined;
  return {
    watch: ({ os, statusStore }) => {
      watchers++;
      timer ??= setInterval(() => {
        if (signal.aborted) return;
        os.machine.read().then(
          (machine) => statusStore.publish({ machine }),
          (error: unknown) => log(`the machine's load cannot be read: ${formatError(toKhwError(error))}`),
        );
      }, betweenMillis).unref();
      return {
        [Symbol.dispose]: () => {
          if (--watchers > 0) return;
          clearInterval(timer);
          timer = undefined;
        },
      };
    },
  };
}
