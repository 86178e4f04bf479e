import { KhwError } from "../../proto/errors.ts";
import type { Files } from "../os/files.ts";
import type { LargeFiles } from "../os/large-files.ts";
import { openRecordFile, type RecordFile } from "../state/record-file.ts";

/** A reset that has begun on this machine. The record stays on disk until the agent's own state is cleared, too. */
export interface ResetRecord {
  readonly holder: string;
  readonly begunUnixMillis: number;
  readonly purge: boolean;
  readonly ownsEtcd: boolean;
  /**
   * Whether all changes outside of the agent's own folder are undone. The next start of the agent clears that folder.
   */
  readonly undone: boolean;
}

const fileName = "reset";

export function openResetRecord(files: Files, folder: string): Promise<RecordFile<ResetRecord>> {
  return openRecordFile(files, `${folder}/${fileName}`, { encode, decode });
}

function encode(record: ResetRecord): Uint8Array {
  return Buffer.from(`${JSON.stringify(record)}\n`);
}

function decode(bytes: Uint8Array): ResetRecord {
  const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
  if (typeof value !== "object" || value === null) throw new Error("it is not an object");
  const { holder, begunUnixMillis, purge, ownsEtcd, undone } = { ...value } as Readonly<Record<string, unknown>>;
  if (typeof holder !== "string" || typeof begunUnixMillis !== "number")
    throw new Error("it does not say who began it");
  return { holder, begunUnixMillis, purge: purge === true, ownsEtcd: ownsEtcd === true, undone: undone === true };
}

/**
 * Checks that only root can enter the agent's folder. A folder with another mode could belong to other programs, too.
 * @throws KhwError CONFIG_INVALID
 */
async function demandOwnFolder(files: Pick<Files, "stat">, folder: string): Promise<void> {
  const { mode, uid } = (await files.stat(folder)) ?? {};
  if (mode === 0o700 && uid === 0) return;
  throw new KhwError("CONFIG_INVALID", `${folder} is not cleared after the reset, because others can use it, too`, {
    hint: `if only the agent uses the folder, run \`chmod 0700 ${folder}\` and restart khw-agent`,
  });
}

/** The agent's own files that a reset keeps: the kept package and the record of the agent's upgrade. */
const ofTheAgent = /^(?:packages|agent-upgrade)$/;
/** The files that a reset keeps unless it also purges. */
const logsAndSnapshots = /^(?:(?:history|audit|audit-refused)(?:\.1)?|snapshots)$/;

/**
 * Clears the agent's state if a reset has undone everything else. Must be called before the state is opened. If this
 * call is interrupted, the next call finishes the work.
 */
export async function clearAfterReset(
  { files, largeFiles }: { readonly files: Files; readonly largeFiles: Pick<LargeFiles, "removeTree"> },
  folder: string,
): Promise<void> {
  const { found } = await openResetRecord(files, folder);
  if (found?.undone !== true) return;
  await demandOwnFolder(files, folder);
  for (const name of await files.list(folder)) {
    const stays = ofTheAgent.test(name) || (!found.purge && logsAndSnapshots.test(name));
    if (!stays && name !== fileName) await largeFiles.removeTree(`${folder}/${name}`);
  }
  // Removes the record last. Without the record, the agent would not continue the reset at its next start.
  await files.remove(`${folder}/${fileName}`);
}
