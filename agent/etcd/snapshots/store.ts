import type { Snapshot, SnapshotOrigin } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { KhwError } from "../../../proto/errors.ts";
import type { LargeFiles, Files } from "../../os/os.ts";
import { decodeRecord, encodeRecord, parseSnapshotId } from "./record.ts";

/**
 * The folder of verified snapshots: ID.db, and ID.json beside it, which is written last. A file without a record is
 * not verified, and not listed.
 */
export interface SnapshotStore {
  /** Oldest first. */
  list(): Promise<Snapshot[]>;
  /** @throws KhwError INVALID_ARGUMENT if no snapshot has that name */
  find(id: string): Promise<Snapshot>;
  fileOf(id: string): string;
  /** Makes the folder. */
  readonly prepare: () => Promise<void>;
  /** Returns the paths where a snapshot is written before its verification, and where it is restored for it. */
  draft(id: string): { readonly file: string; readonly scratch: string };
  /** Renames the draft and writes its record. Durable when it resolves. */
  adopt(snapshot: Snapshot): Promise<void>;
  /** Replaces the record. */
  update(snapshot: Snapshot): Promise<void>;
  /** Removes the remains of a draft. */
  discard(id: string): Promise<void>;
  /** Removes the record, so that the snapshot no longer counts as good. The file stays. */
  invalidate(id: string): Promise<void>;
  /** Removes the oldest snapshots of this origin beyond `keep`, except the spared ones. Returns their ids. */
  prune(origin: SnapshotOrigin, keep: number, spared: readonly string[]): Promise<string[]>;
}

export interface SnapshotStoreOptions {
  readonly files: Files;
  readonly largeFiles: LargeFiles;
  readonly folder: string;
}

/** Opens the folder, and removes the drafts of an agent that was killed. */
export async function openSnapshotStore({ files, largeFiles, folder }: SnapshotStoreOptions): Promise<SnapshotStore> {
  const fileOf = (id: string): string => `${folder}/${parseSnapshotId(id)}.db`;
  const recordOf = (id: string): string => `${folder}/${parseSnapshotId(id)}.json`;
  const draft = (id: string) => ({ file: `${folder}/.${id}.db.draft`, scratch: `${folder}/.${id}.scratch` });

  for (const name of await files.list(folder))
    if (name.startsWith(".")) await largeFiles.removeTree(`${folder}/${name}`);

  const read = async (id: string): Promise<Snapshot | undefined> => {
    const [record, facts] = await Promise.all([files.read(recordOf(id)), files.stat(fileOf(id))]);
    if (record === undefined || facts === undefined) return undefined;
    return decodeRecord(id, record.toString("utf8"));
  };
  const list = async (): Promise<Snapshot[]> => {
    const ids = (await files.list(folder)).flatMap((name) => /^([^.].*)\.json$/.exec(name)?.[1] ?? []);
    const found = await Promise.all(ids.map(read));
    return found.flatMap((one) => one ?? []).toSorted((a, b) => a.takenUnixMillis - b.takenUnixMillis);
  };
  const update = (snapshot: Snapshot): Promise<void> =>
    files.write(recordOf(snapshot.id), encodeRecord(snapshot), 0o600);
  const remove = async (id: string): Promise<void> => {
    // The record first, because a file without a record does not count.
    await files.remove(recordOf(id));
    await files.remove(fileOf(id));
  };

  return {
    list,
    find: async (id) =>
      (await read(id)) ??
      Promise.reject(
        new KhwError("INVALID_ARGUMENT", `there is no proved snapshot ${id} here`, {
          hint: "`khw-client etcd snapshot list` shows those that there are",
        }),
      ),
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
      // etcdctl's name for a file that it has not saved completely.
      await largeFiles.removeTree(`${draft(id).file}.part`);
      await largeFiles.removeTree(draft(id).scratch);
    },
    prune: async (origin, keep, spared) => {
      const own = (await list()).filter((snapshot) => snapshot.origin === origin && !spared.includes(snapshot.id));
      const surplus = own.slice(0, Math.max(0, own.length - keep)).map(({ id }) => id);
      for (const id of surplus) await remove(id);
      return surplus;
    },
  };
}
