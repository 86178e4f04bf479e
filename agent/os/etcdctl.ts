/** The facts that etcdctl reports about a database: its newest revision, the number of keys, and a checksum in hex. */
export interface SnapshotFacts {
  readonly revision: number;
  readonly keys: number;
  readonly hash: string;
}

/** The member for which the data is restored. */
export interface RestoreOptions {
  readonly name: string;
  readonly peerUrl: string;
  /** For example "controller-0=https://10.240.0.10:2380,...". */
  readonly initialCluster: string;
  readonly token: string;
}

/**
 * etcd's own programs for snapshots. A failure throws a KhwError: IO_FAILED with the program's error message, or
 * PROGRAM_MISSING if the program is not installed.
 */
export interface Etcdctl {
  /** Saves a member's database, completely or not at all. `ca`, `certificate` and `key` are paths. */
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
  /** Reads the facts about a snapshot, or about a database that was restored from a snapshot. */
  inspect(path: string, signal: AbortSignal): Promise<SnapshotFacts>;
  /**
   * Creates a data folder from a snapshot. The folder must not exist yet. etcdctl checks the digest that the snapshot
   * contains.
   */
  restore(snapshot: string, folder: string, options: RestoreOptions & { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Replaces a stopped member's data with a snapshot's data, and moves the old data to `aside`. `aside` and `fresh` are
   * paths in the folder `data`. `fresh` shows that the data has been restored from the snapshot, and stays until
   * `tidyData` removes it.
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
