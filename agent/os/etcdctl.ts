/**
 * Facts that etcdctl reports about a database: its newest revision, the number of keys, and a checksum of the keys in
 * hex.
 */
export interface SnapshotFacts {
  readonly revision: number;
  readonly keys: number;
  readonly hash: string;
}

/** The member that the restored data are for. */
export interface RestoreOptions {
  readonly name: string;
  readonly peerUrl: string;
  /** For example "controller-0=https://10.240.0.10:2380,...". */
  readonly initialCluster: string;
  readonly token: string;
}

/**
 * etcd's own program for snapshots. A failure throws a KhwError: IO_FAILED with the program's last output, or
 * PROGRAM_MISSING if the program is not installed.
 */
export interface Etcdctl {
  /** Saves a member's database, completely or not at all. The certificates and the key are given as paths. */
  save(
    path: string,
    options: {
      readonly server: string;
      readonly ca: string;
      readonly certificate: string;
      readonly key: string;
      readonly signal: AbortSignal;
    },
  ): Promise<void>;
  /** Reads a snapshot, or a database that was restored from a snapshot. */
  inspect(path: string, signal: AbortSignal): Promise<SnapshotFacts>;
  /** Creates a data folder, which must not exist, from a snapshot; etcdctl checks the snapshot's own digest. */
  restore(snapshot: string, folder: string, options: RestoreOptions & { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Replaces a stopped member's data with a snapshot's data, and moves the old data to `aside`. The new data
   * and `aside` are in the folder `data`. `fresh`, in the same folder, marks an unfinished run; it stays until the clean-up.
   */
  replaceData(
    snapshot: string,
    options: RestoreOptions & {
      readonly data: string;
      readonly aside: string;
      readonly fresh: string;
      readonly signal: AbortSignal;
    },
  ): Promise<void>;
  tidyData(fresh: string, signal: AbortSignal): Promise<void>;
}
