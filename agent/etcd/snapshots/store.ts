import type { Snapshot, SnapshotOrigin } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { KhwError } from "../../../proto/errors.ts";
import type { Files } from "../../os/files.ts";
import type { LargeFiles } from "../../os/large-files.ts";
import { decodeRecord, encodeRecord, parseSnapshotId } from "./record.ts";

/**
 * The folder of verified snapshots. Each snapshot consists of a file ID.db and a record ID.json. The record is written
 * last. A snapshot without a record counts as not verified, and is not listed. A damaged record, or a record without a
 * snapshot file, is reported but not listed.
 */
export interface SnapshotStore {
  /** Oldest first. */
  list(): Promise<Snapshot[]>;
  /** @throws KhwError INVALID_ARGUMENT if no snapshot has that name */
  find(id: string): Promise<Snapshot>;
  fileOf(id: string): string;
  /** Creates the folder. */
  readonly prepare: () => Promise<void>;
  /**
   * Returns the file to which a snapshot is written before it is verified, and the folder where the verification
   * restores it.
   */
  draft(id: string): { readonly file: string; readonly scratch: string };
  /** Renames the draft to its final name and writes its record. Both are durable when the promise resolves. */
  adopt(snapshot: Snapshot): Promise<void>;
  /** Replaces the record. */
  update(snapshot: Snapshot): Promise<void>;
  /** Removes the leftover files of a draft. */
  discard(id: string): Promise<void>;
  /** Removes the record, so that the snapshot no longer counts as verified. The snapshot file remains. */
  invalidate(id: string): Promise<void>;
  /**
   * Keeps the newest `keep` snapshots of this kind, and removes older snapshots unless their IDs are in `spared`.
   * Returns the IDs of the removed snapshots.
   */
  prune(kind: SnapshotKind, keep: number, spared: readonly string[]): Promise<string[]>;
}

/**
 * A group of snapshots that are counted together. All snapshots with a purpose form one group. The snapshots without a
 * purpose are grouped by origin.
 */
export type SnapshotKind = SnapshotOrigin | "purpose";

export interface SnapshotStoreOptions {
  readonly files: Files;
  readonly largeFiles: LargeFiles;
  readonly folder: string;
  /**
   * Called once for each damaged snapshot, when the damage is found. Called again only if the damage changes or returns
   * after a repair.
   */
  readonly report: (damage: string) => void;
}

/** Opens the folder, and removes drafts that a killed agent process left behind. */
export async function openSnapshotStore({
  files,
  largeFiles,
  folder,
  report,
}: SnapshotStoreOptions): Promise<SnapshotStore> {
  const fileOf = (id: string): string => `${folder}/${parseSnapshotId(id)}.db`;
  const recordOf = (id: string): string => `${folder}/${parseSnapshotId(id)}.json`;
  const draft = (id: string) => ({ file: `${folder}/.${id}.db.draft`, scratch: `${folder}/.${id}.scratch` });

  for (const name of await files.list(folder))
    if (name.startsWith(".")) await largeFiles.removeTree(`${folder}/${name}`);

  /** Returns the snapshot, or a description of the damage to it. Returns undefined if the snapshot has no record. */
  const read = async (id: string): Promise<Snapshot | string | undefined> => {
    try {
      const record = await files.read(recordOf(id));
      if (record === undefined) return undefined;
      const snapshot = decodeRecord(id, record.toString("utf8"));
      if (snapshot === undefined) return `${recordOf(id)} is damaged`;
      if ((await files.stat(fileOf(id))) !== undefined) return snapshot;
      // Another call may be deleting the snapshot. A deletion removes the record first.
      return (await files.read(recordOf(id))) === undefined ? undefined : `${fileOf(id)} is missing`;
    } catch (error) {
      if (error instanceof KhwError) return error.message;
      throw error;
    }
  };
  const reported = new Map<string, string>();
  const list = async (): Promise<Snapshot[]> => {
    const ids = (await files.list(folder)).flatMap((name) => /^([^.].*)\.json$/.exec(name)?.[1] ?? []);
    const found = await Promise.all(ids.map(async (id) => ({ id, read: await read(id) })));
    const damages = new Map(found.flatMap((one) => (typeof one.read === "string" ? [[one.id, one.read]] : [])));
    for (const [id, damage] of damages) {
      if (reported.get(id) !== damage) report(`${damage}: the snapshot ${id} is not listed, and will never be deleted`);
    }
    reported.clear();
    for (const [id, damage] of damages) reported.set(id, damage);
    return found
      .flatMap((one) => (typeof one.read === "object" ? one.read : []))
      .toSorted((a, b) => a.takenUnixMillis - b.takenUnixMillis);
  };
  const update = (snapshot: Snapshot): Promise<void> =>
    files.write(recordOf(snapshot.id), encodeRecord(snapshot), 0o600);
  const remove = async (id: string): Promise<void> => {
    // Removes the record first, because a snapshot file without a record is ignored.
    await files.remove(recordOf(id));
    await files.remove(fileOf(id));
  };

  return {
    list,
    find: async (id) => {
      const found = await read(id);
      if (typeof found === "object") return found;
      throw new KhwError("INVALID_ARGUMENT", found ?? `this machine has no verified snapshot ${id}`, {
        hint: "run `khw-client etcd snapshot list` to see the snapshots that can be used",
      });
    },
    fileOf,
    prepare: () => files.mkdir(folder, 0o700),
    draft,
    adopt: async (snapshot) => {
      await files.rename(draft(snapshot.id).file, fileOf(snapshot.id));
      await update(snapshot);
    },
    update: update,
    invalidate: (id) => files.remove(recordOf(id)),
    discard: async (id) => {
      await largeFiles.removeTree(draft(id).file);
      // etcdctl uses this name for a file that it has not saved completely.
      await largeFiles.removeTree(`${draft(id).file}.part`);
      await largeFiles.removeTree(draft(id).scratch);
    },
    prune: async (kind, keep, spared) => {
      const kindOf = ({ origin, purpose }: Snapshot): SnapshotKind => (purpose === "" ? origin : "purpose");
      const own = (await list()).filter((snapshot) => kindOf(snapshot) === kind && !spared.includes(snapshot.id));
      const surplus = own.slice(0, Math.max(0, own.length - keep)).map(({ id }) => id);
      for (const id of surplus) await remove(id);
      return surplus;
    },
  };
}
