import { Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Files } from "../os/files.ts";
import { openRecordFile, type RecordFile } from "./record-file.ts";

/** The on-disk record of the last operation. An agent that was killed reads the record the next time it starts. */
export interface OperationRecord {
  /** Returns the last operation of an earlier agent process. */
  load(): Promise<Operation | undefined>;
  /** Returns why the record of the last operation cannot be read; undefined if it can be read or does not exist. */
  damage(): string | undefined;
  /** The record is durable when the promise resolves. */
  save(operation: Operation): Promise<void>;
}

/** Returns the operation record that is stored in this folder. */
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
  if (operation.id === "") throw new Error("it contains no operation ID");
  return operation;
}

/**
 * Marks the last operation as interrupted if its record still says that the operation is running. Called when the agent
 * starts.
 */
export async function recoverInterrupted(record: OperationRecord): Promise<Operation | undefined> {
  const last = await record.load();
  if (last?.state !== OperationState.OPERATION_STATE_RUNNING) return last;
  const interrupted: Operation = { ...last, state: OperationState.OPERATION_STATE_INTERRUPTED };
  await record.save(interrupted);
  return interrupted;
}
