import { HistoryKind, Maintenance as MaintenanceState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Board } from "./status-store.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import type { Writer } from "./machine-lock.ts";

/** Whether the node is drained: kept on disk, and a part of what the steps want (agent/steps.ts). */
export interface Maintenance {
  current(): MaintenanceState;
  /** Durable, and nginx answers accordingly, when it resolves. @throws KhwError BUSY while another holds the machine. */
  set(drained: boolean, holder: string): Promise<MaintenanceState>;
}

export interface MaintenanceOptions {
  readonly os: Os;
  readonly folder: string;
  readonly writer: Writer;
  readonly board: Board;
  readonly history: History;
  /** Makes nginx's site and nginx what they shall be now. */
  readonly apply: () => Promise<void>;
}

export async function openMaintenance(options: MaintenanceOptions): Promise<Maintenance> {
  const { os, folder, writer, board, history, apply } = options;
  const path = `${folder}/maintenance`;
  const bytes = await os.files.read(path);
  let state = decode(bytes) ?? board.read().maintenance;
  board.post({ maintenance: state });
  return {
    current: () => state,
    set: (drained, holder) =>
      writer.hold(holder, async () => {
        if (drained !== state.drained) {
          const wanted = { drained, holder, sinceUnixMillis: os.clock.now() };
          await os.files.mkdir(folder, 0o700);
          await os.files.write(path, MaintenanceState.encode(wanted).finish(), 0o600);
          state = wanted;
          board.post({ maintenance: state });
          const message = drained ? `drained by ${holder}` : `taken back in by ${holder}`;
          history.append({ kind: HistoryKind.HISTORY_KIND_MAINTENANCE, subject: "nginx", message });
        }
        await apply();
        return state;
      }),
  };
}

/** A record that cannot be read counts as none: a node that serves by mistake is seen, one that is out of rotation is not. */
function decode(bytes: Uint8Array | undefined): MaintenanceState | undefined {
  if (bytes === undefined) return undefined;
  try {
    return MaintenanceState.decode(bytes);
  } catch {
    // Whatever the decoder says, it says of the bytes.
    return undefined;
  }
}
