import { type KhwError, toKhwError } from "../proto/errors.ts";
import type { Identity } from "../proto/gen/khw/agent/v1/agent.ts";
import { createOperations, type Operations } from "./operations.ts";
import type { Os } from "./os/os.ts";
import { controllerSteps } from "./steps.ts";
import { fileStore, recoverInterrupted } from "./store.ts";

/** The machine and its one writer, once it is known which machine this is. */
export interface Node {
  readonly os: Os;
  readonly operations: Operations;
}

export interface NodeOptions {
  readonly identity: () => Promise<Identity>;
  readonly open: (identity: Identity) => Os;
  readonly stateFolder: string;
  readonly status: (text: string) => void;
  readonly log: (line: string) => void;
  readonly failed: (error: KhwError) => void;
  readonly signal: AbortSignal;
}

/**
 * Finds out who the machine is at the first call, once for all; a failure is the caller's error and is tried anew at the
 * next call. So an agent whose metadata server is down serves, and says just that to whoever asks.
 */
export function nodeOpener(options: NodeOptions): () => Promise<Node> {
  let opening: Promise<Node> | undefined;
  return () => {
    opening ??= openNode(options).catch((error: unknown) => {
      opening = undefined;
      options.failed(toKhwError(error));
      throw error;
    });
    return opening;
  };
}

async function openNode({ identity, open, stateFolder, status, log, signal }: NodeOptions): Promise<Node> {
  const os = open(await identity());
  const store = fileStore(os.files, stateFolder);
  const last = await recoverInterrupted(store);
  return { os, operations: createOperations({ os, store, steps: controllerSteps, last, status, log, signal }) };
}
