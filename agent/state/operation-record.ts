import { Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Files } from "../os/files.ts";
import { openRecordFile, type RecordFile } from "./record-file.ts";

/** The last operation, stored on disk, so that an agent that was killed can read it at its next start. */
export interface OperationRecord {
  /** Returns the last operation of an earlier agent process. */
  load(): Promise<Operation | undefined>;
  /** The reason why the last operation's record cannot be read; undefined if the record is readable or absent. */
  damage(): string | undefined;
  /** The record is durable when the promise resolves. */
  save(operation: Operation): Promise<void>;
}

/** Returns a record that is stored in its own folder. */
export function operationRecordIn(files: Files, folder: string): OperationRecord {
  let record: RecordFile<Operation> | undefined;
  const open = async (): Promise<RecordFile<Operation>> =>
    (record = await openRecordFile(files, `${folder}/operation`, { encode, decode }));
  return {
    load: async () => (await open()).found,
    damage: () => record?.damage(),
    save: async (operation) => (record ?? (await open())).write(operation),
  };
}

function encode(operation: Operation): Uint8Array {
  return Operation.encode(operation).finish();
}

function decode(bytes: Uint8Array): Operation {
  const operation = Operation.decode(bytes);
  if (operation.id === "") throw new Error("it names no operation");
  return operation;
}

/** Marks an operation as interrupted if, when the agent starts, the record says that the operation is running. */
export async function recoverInterrupted(record: OperationRecord): Promise<Operation | undefined> {
  const last = await record.load();
  if (last?.state !== OperationState.OPERATION_STATE_RUNNING) return last;
  const interrupted: Operation = { ...last, state: OperationState.OPERATION_STATE_INTERRUPTED };
  await record.save(interrupted);
  return interrupted;
}
