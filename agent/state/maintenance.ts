import { HistoryKind, Maintenance as MaintenanceState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StatusStore } from "./status-store.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import { openRecordFile, type RecordFile } from "./record-file.ts";
import type { MachineLock } from "./machine-lock.ts";

/** Whether the node is drained: stored on disk, and an input of the steps (agent/steps.ts). */
export interface Maintenance {
  current(): MaintenanceState;
  /** The reason why the record cannot be read; undefined if the record is readable or absent. */
  damage(): string | undefined;
  /**
   * Durable when it resolves, and nginx answers accordingly.
   * @throws KhwError BUSY while an operation holds the machine lock
   */
  set(drained: boolean, holder: string): Promise<MaintenanceState>;
}

export interface MaintenanceOptions {
  readonly os: Os;
  readonly folder: string;
  readonly machineLock: MachineLock;
  readonly statusStore: StatusStore;
  readonly history: History;
  /** Makes nginx and its site match the current maintenance state. */
  readonly apply: () => Promise<void>;
}

export async function openMaintenance(options: MaintenanceOptions): Promise<Maintenance> {
  const { os, folder, machineLock, statusStore, history, apply } = options;
  const record = await openRecordFile(os.files, `${folder}/maintenance`, { encode, decode });
  let state = stateFrom(record, os.clock.now()) ?? statusStore.read().maintenance;
  statusStore.publish({ maintenance: state });
  return {
    current: () => state,
    damage: record.damage,
    set: (drained, holder) =>
      machineLock.lock(holder, async () => {
        if (drained !== state.drained || record.damage() !== undefined) {
          const wanted = { drained, holder, sinceUnixMillis: os.clock.now() };
          await record.write(wanted);
          state = wanted;
          statusStore.publish({ maintenance: state });
          const message = drained ? `drained by ${holder}` : `undrained by ${holder}`;
          history.append({ kind: HistoryKind.HISTORY_KIND_MAINTENANCE, subject: "nginx", message });
        }
        await apply();
        return state;
      }),
  };
}

/** A drained node must not serve again by mistake, so a node with an unreadable record counts as drained. */
function stateFrom({ found, damage }: RecordFile<MaintenanceState>, now: number): MaintenanceState | undefined {
  const why = damage();
  if (why === undefined) return found;
  return { drained: true, holder: `the agent, because ${why}`, sinceUnixMillis: now };
}

function encode(state: MaintenanceState): Uint8Array {
  return MaintenanceState.encode(state).finish();
}

function decode(bytes: Uint8Array): MaintenanceState {
  const state = MaintenanceState.decode(bytes);
  if (state.holder === "" || state.sinceUnixMillis === 0)
    throw new Error("it does not name who drained the node, and when");
  return state;
}
