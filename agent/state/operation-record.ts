import { Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Files } from "../os/os.ts";

/** The last operation, on disk: what an agent that was killed finds out about itself when it comes back. */
export interface Store {
  /** The last operation that any agent began here. */
  load(): Promise<Operation | undefined>;
  /** Durable when it resolves. */
  save(operation: Operation): Promise<void>;
}

/** A store in a folder of its own. A record that cannot be read is treated as none: it holds nothing that is needed. */
export function fileStore(files: Files, folder: string): Store {
  const path = `${folder}/operation`;
  return {
    load: async () => {
      const bytes = await files.read(path);
      return bytes === undefined ? undefined : decode(bytes);
    },
    save: async (operation) => {
      await files.mkdir(folder, 0o700);
      await files.write(path, Operation.encode(operation).finish(), 0o600);
    },
  };
}

function decode(bytes: Uint8Array): Operation | undefined {
  try {
    const operation = Operation.decode(bytes);
    return operation.id === "" ? undefined : operation;
  } catch {
    // Whatever the decoder says, it says of the bytes.
    return undefined;
  }
}

/** An operation that is recorded as running when an agent starts was cut off by that agent's end. */
export async function recoverInterrupted(store: Store): Promise<Operation | undefined> {
  const last = await store.load();
  if (last?.state !== OperationState.OPERATION_STATE_RUNNING) return last;
  const interrupted: Operation = { ...last, state: OperationState.OPERATION_STATE_INTERRUPTED };
  await store.save(interrupted);
  return interrupted;
}
