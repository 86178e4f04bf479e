import type { ServerWritableStream } from "@grpc/grpc-js";
import type {
  GetStatusResponse,
  StatusChange,
  WatchStatusRequest,
  WatchStatusResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { type StatusStore, mergeChanges } from "../state/status-store.ts";

export interface Watching {
  readonly statusStore: StatusStore;
  readonly call: Pick<ServerWritableStream<WatchStatusRequest, WatchStatusResponse>, "write">;
  /** Aborts when the caller disconnects, and when the agent stops. */
  readonly gone: AbortSignal;
}

/**
 * Sends the full state, then sends each change immediately. While a message is being sent, later changes are merged
 * into one waiting message. A slow caller therefore uses memory for only two messages. Rejects when `gone` aborts.
 */
export async function sendChanges(full: GetStatusResponse, { statusStore, call, gone }: Watching): Promise<void> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  let waiting: StatusChange | undefined;
  let underWay = false;

  const write = (message: NonNullable<WatchStatusResponse["kind"]>): void => {
    underWay = true;
    call.write({ kind: message }, () => {
      underWay = false;
      const next = waiting;
      waiting = undefined;
      if (next !== undefined && !gone.aborted) write({ $case: "change", value: next });
    });
  };
  const stop = statusStore.listen((change) => {
    if (underWay) waiting = waiting === undefined ? change : mergeChanges(waiting, change);
    else write({ $case: "change", value: change });
  });
  const leave = (): void => reject(gone.reason);
  gone.addEventListener("abort", leave, { once: true });
  try {
    write({ $case: "full", value: full });
    if (gone.aborted) leave();
    await ended;
  } finally {
    gone.removeEventListener("abort", leave);
    stop();
  }
}
