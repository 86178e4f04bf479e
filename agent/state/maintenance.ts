import { isLeft, isRollingUpdate } from "../../proto/drain.ts";
import { type DrainReason, HistoryKind, Maintenance as MaintenanceState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StatusStore } from "./status-store.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import { openRecordFile, type RecordFile } from "./record-file.ts";
import type { MachineLock } from "./machine-lock.ts";

/**
 * The maintenance state, which records whether the node is drained. It is stored on disk, and is an input to the steps
 * (agent/steps.ts).
 */
export interface Maintenance {
  current(): MaintenanceState;
  /** Returns why the record cannot be read; undefined if the record can be read or does not exist. */
  damage(): string | undefined;
  /**
   * When the promise resolves, the state is durable and nginx answers health checks accordingly.
   * @throws KhwError BUSY while an operation holds the machine lock
   */
  set(wanted: WantedMaintenance): Promise<MaintenanceState>;
  /**
   * Undrains a node that a rolling update left drained. Does nothing if the node has been drained again since that
   * rolling update, or if `mayUndrain` returns false. Gives way to operations.
   */
  undrainLeft(left: MaintenanceState, options: UndrainLeftOptions): Promise<void>;
}

export interface UndrainLeftOptions {
  readonly holder: string;
  /** Called while no operation can start. */
  readonly mayUndrain: (signal: AbortSignal) => Promise<boolean>;
}

export interface WantedMaintenance {
  readonly drained: boolean;
  readonly holder: string;
  readonly reason: DrainReason | undefined;
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
  const change = async ({ drained, holder, reason }: WantedMaintenance): Promise<MaintenanceState> => {
    // A rolling update must not change a node that a person has drained.
    if (isRollingUpdate(reason) && state.drained && !isLeft(state)) return state;
    const claimed = drained && isLeft(state) && !isRollingUpdate(reason);
    if (drained !== state.drained || claimed || record.damage() !== undefined) {
      const wanted = { drained, holder, sinceUnixMillis: os.clock.now(), reason: drained ? reason : undefined };
      await record.write(wanted);
      state = wanted;
      statusStore.publish({ maintenance: state });
      const why = isLeft(state) ? " for a rolling update" : "";
      const message = drained ? `drained by ${holder}${why}` : `undrained by ${holder}`;
      history.append({ kind: HistoryKind.HISTORY_KIND_MAINTENANCE, subject: "nginx", message });
    } else {
      // Copies the state. undrainLeft compares object identities, so it treats the copy as a newer drain and does not
      // undrain the node.
      state = { ...state };
    }
    await apply();
    return state;
  };
  return {
    current: () => state,
    damage: record.damage,
    set: (wanted) => machineLock.lock(wanted.holder, () => change(wanted)),
    undrainLeft: async (left, { holder, mayUndrain }) => {
      await machineLock.whenIdle(async (ending) => {
        if (state !== left || !isLeft(state) || !(await mayUndrain(ending))) return;
        await change({ drained: false, holder, reason: undefined });
      });
    },
  };
}

/**
 * A node with an unreadable record counts as drained, so that no drained node is put back into service by mistake.
 */
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
    throw new Error("it does not say who drained the node, or when");
  return state;
}
