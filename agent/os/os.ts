import type { Architecture } from "../../proto/components.ts";
import type { Identity, LogEntry, Machine } from "../../proto/gen/khw/agent/v1/agent.ts";

/** Everything that steps see of the machine: the seam between khw's decisions and the machine's actions. */
export interface Os {
  readonly files: Files;
  readonly systemd: Systemd;
  readonly logs: Logs;
  readonly packages: Packages;
  readonly downloads: Downloads;
  readonly archives: Archives;
  readonly etcd: EtcdServers;
  readonly probes: Probes;
  readonly largeFiles: LargeFiles;
  readonly etcdctl: Etcdctl;
  readonly machine: MachineFacts;
  readonly identity: Identity;
  readonly architecture: Architecture;
  readonly clock: Clock;
}

/** The machine facts that `status` shows. */
export interface MachineFacts {
  read(): Promise<Machine>;
}

export interface FileFacts {
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Permission bits, for example 0o600. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** The time of the last change of content or attributes (ctime), in milliseconds since the epoch. */
  readonly changedAt: number;
  readonly inode: bigint;
  readonly device: bigint;
  /** The target of a symbolic link; absent for anything else. */
  readonly target?: string | undefined;
}

/**
 * The file system. Paths are absolute. Failures are KhwErrors IO_FAILED that name the path, with a hint if the disk
 * is full or read-only.
 */
export interface Files {
  /** Undefined if the path does not exist. Does not follow a symbolic link. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** Undefined if the file does not exist. */
  read(path: string): Promise<Buffer | undefined>;
  /**
   * Like `read`, for the few small files that are read every other second. The content is cached as long as for
   * `sha256`.
   */
  readOften(path: string): Promise<Buffer | undefined>;
  /**
   * SHA-256 in hex; undefined if the file does not exist. Cached until the file's inode, size or change time
   * changes.
   */
  sha256(path: string): Promise<string | undefined>;
  /** Writes the whole content or nothing: temporary file, fsync, rename, fsync of the folder. The owner is root. */
  write(path: string, content: string | Uint8Array, mode: number): Promise<void>;
  /** Appends to a file, and creates it if it is missing; durable when it resolves. */
  append(path: string, content: Uint8Array, mode: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  /** Makes the folder and its parents; existing ones keep their modes. */
  mkdir(path: string, mode: number): Promise<void>;
  /** Replaces an existing file or link. */
  symlink(target: string, path: string): Promise<void>;
  /** Puts the same inode at `to`, atomically, and replaces an existing file. Both must be on one file system. */
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Names in a folder; empty if the folder does not exist. */
  list(path: string): Promise<string[]>;
  /** No error if the path does not exist. */
  remove(path: string): Promise<void>;
  /**
   * Calls the listener soon after a change in one of these folders, until the returned function is called. Changes
   * are to content, mode, owner or names of files, and the removal and return of the folder. Many changes at once
   * cause one call. The listener is also called once at the beginning; from then on no change is missed.
   */
  watch(folders: readonly string[], listener: () => void): () => void;
  /** Bytes that root can still write to the file system of a path. The path need not exist yet. */
  available(path: string): Promise<number>;
}

/** The files from which systemd loaded a unit. */
export interface UnitSources {
  /** The unit's own file; empty if the unit is not loaded. */
  readonly fragment: string;
  /** In the order in which systemd reads them. */
  readonly dropIns: readonly string[];
}

export interface UnitStatus {
  readonly loadState: string;
  readonly activeState: string;
  readonly subState: string;
  /** "enabled", "disabled", ...; empty if the unit has no unit file. */
  readonly unitFileState: string;
  /** systemd's word for how the unit last ended: "success", "exit-code", "start-limit-hit", ... */
  readonly result: string;
  /** Whether the unit's files on disk differ from those that systemd has loaded. */
  readonly needsReload: boolean;
  readonly mainPid: number;
  /** When the unit became active, in milliseconds since the epoch; 0 if it never did. */
  readonly activeSince: number;
  /** The same moment on Clock.monotonic. */
  readonly activeMonotonic: number;
  /**
   * When the unit's state last changed (start, stop or reload: StateChangeTimestamp), in milliseconds since the
   * epoch.
   */
  readonly stateSince: number;
  readonly restarts: number;
  /** Whether systemd skipped the last start because a condition of the unit did not hold; absent if it did not. */
  readonly unmet?: boolean;
}

/**
 * A change of a unit. If the event carries the new state, each event is reported by itself, although a later look
 * may miss some states.
 */
export interface UnitChange {
  readonly name: string;
  readonly activeState?: string;
  readonly subState?: string;
}

/** The service manager, over D-Bus. Unit names have their suffix. */
export interface Systemd {
  unit(name: string): Promise<UnitStatus>;
  /** The files of the unit that is loaded now. */
  sources(name: string): Promise<UnitSources>;
  /** daemon-reload; calls made during a reload share the next one. */
  reload(): Promise<void>;
  enable(name: string): Promise<void>;
  /**
   * Waits for the job's end.
   * @throws KhwError SERVICE_FAILED with the job's result
   */
  start(name: string, signal: AbortSignal): Promise<void>;
  restart(name: string, signal: AbortSignal): Promise<void>;
  stop(name: string, signal: AbortSignal): Promise<void>;
  /** Makes the service read its configuration again (ExecReload). */
  reloadService(name: string, signal: AbortSignal): Promise<void>;
  /** Resolves at the unit's next change of state; rejects with the signal's reason when it aborts. */
  changed(name: string, signal: AbortSignal): Promise<void>;
  /**
   * Calls the listener at every change of these units, until the returned function is called. Reports all units
   * when changes may have been missed: after a reconnection, or after systemd has loaded its files again.
   */
  watch(names: readonly string[], listener: (change: UnitChange) => void): () => void;
  /** Sends SIGKILL to all processes of the unit; no error if it has no process. */
  kill(name: string): Promise<void>;
  /** Lets a unit that systemd gave up on start again; no error if it is not loaded. */
  resetFailed(name: string): Promise<void>;
  /** The last lines of the unit's journal since its last start, oldest first. */
  journal(name: string, lines: number): Promise<string[]>;
  /**
   * The lines of the unit's last starts, one list for each start, oldest first, taken from the last lines of its
   * journal. Flags and stacks are left out.
   */
  starts(name: string, lines: number): Promise<string[][]>;
  /**
   * Describes how the service's last process ended, in systemd's journal words, even if the journal missed the
   * line. Empty while a process runs, and after a successful end.
   */
  ending(name: string): Promise<string[]>;
  /** The command line and program of a running process; undefined if it is gone. */
  process(pid: number): Promise<RunningProcess | undefined>;
}

/** The journal of units. */
export interface Logs {
  /**
   * Oldest first, as fast as the caller reads. Ends with the signal's reason when it aborts.
   * @throws KhwError IO_FAILED
   */
  stream(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogEntry>;
}

export interface LogsRequest {
  /** With its suffix. */
  readonly unit: string;
  /** At most this many existing lines, the newest; 0: all. */
  readonly lines: number;
  /** No older lines, in milliseconds since the epoch; 0: no limit. */
  readonly sinceUnixMillis: number;
  /** Continue with new lines. */
  readonly follow: boolean;
}

export interface RunningProcess {
  readonly environment: Readonly<Record<string, string>>;
  /** The command line, or the title that the process gave itself. */
  readonly argv: readonly string[];
  /** Inode and device of the executed program. */
  readonly inode: bigint;
  readonly device: bigint;
}

/** The distribution's packages. */
export interface Packages {
  /** The installed version; undefined if the package is not (completely) installed. */
  installed(name: string): Promise<string | undefined>;
  /**
   * Updates apt's lists and installs a package in a transient unit; waits for a lock that another process holds.
   * @throws KhwError PACKAGE_FAILED with apt's last lines
   */
  install(
    name: string,
    options: { readonly signal: AbortSignal; readonly progress: (text: string) => void },
  ): Promise<void>;
  /**
   * Runs `nginx -t` in a transient unit.
   * @throws KhwError SERVICE_FAILED with nginx's output
   */
  testNginx(signal: AbortSignal): Promise<void>;
}

export interface DownloadRequest {
  /** Base URLs (https, http, file) or absolute folders, in order of preference. */
  readonly mirrors: readonly string[];
  /** The path below a mirror, for example "v1.21.0/bin/linux/amd64/kubectl". */
  readonly path: string;
  readonly proxy: string;
  readonly caPem: string;
  readonly signal: AbortSignal;
}

export interface DownloadedText {
  readonly text: string;
  /** The mirror that had it, without user and password. */
  readonly mirror: string;
}

export interface Downloads {
  /**
   * Downloads a small text file, at most 4 KiB, from the first mirror that has it.
   * @throws KhwError DOWNLOAD_FAILED with each mirror's answer
   */
  text(request: DownloadRequest): Promise<DownloadedText>;
  /**
   * Downloads a file to `to` (mode 0755), completely or not at all, and hashes it while it streams. Resumes with
   * Range after an interruption, retries failures that can pass, then tries the next mirror.
   * @throws KhwError DOWNLOAD_FAILED or DIGEST_MISMATCH
   */
  file(
    request: DownloadRequest & {
      readonly to: string;
      readonly sha256: string;
      /** The file may not be longer, whether its length is announced or not. */
      readonly mostBytes: number;
      readonly progress: (text: string) => void;
    },
  ): Promise<void>;
}

/** The archives in which releases are packed. */
export interface Archives {
  /**
   * Extracts files of a .tar.gz into an existing folder, without their paths in the archive. They are on disk when
   * it resolves.
   * @throws KhwError IO_FAILED with the archiver's last lines
   */
  extract(request: {
    readonly archive: string;
    /** Names in the archive: "FOLDER/FILE". */
    readonly members: readonly string[];
    readonly to: string;
    readonly signal: AbortSignal;
  }): Promise<void>;
}

/** The cluster's etcd servers; requests use the API server's own certificate. */
export interface EtcdServers {
  /**
   * Sends a request to a server of the v3 API. In the answer, 64-bit numbers are decimal strings, and bytes are
   * Base64.
   * @param server its client URL
   * @throws KhwError NOT_READY if the server cannot be reached, or refuses
   */
  post(
    server: string,
    request: {
      readonly path: string;
      readonly body: unknown;
      readonly signal: AbortSignal;
      /** 3 s by default. */
      readonly timeoutMillis?: number;
    },
  ): Promise<Readonly<Record<string, unknown>>>;
}

/** Why a request got no HTTP answer, and whether the server is alive. */
export type ProbeFailure =
  /** The connection was refused. */
  | "refused"
  /** There was no connection within the time. */
  | "unconnected"
  /** There was a connection, but no answer within the time. */
  | "silent"
  /** The server closed the connection without an answer, or did not answer in HTTP. */
  | "closed"
  /** The server's certificate failed verification: the server is alive. */
  | "unverified"
  /** The server refused the TLS handshake, for example because of the client's certificate: the server is alive. */
  | "rejected"
  /** The caller itself failed (no file descriptors, no route, busy event loop): the server's state is unknown. */
  | "own";

export interface ProbeResult {
  /** The HTTP status; 0 without an answer. */
  readonly status: number;
  /** The first 4 KiB of the answer, or the reason why it is missing. */
  readonly body: string;
  /** Why there was no answer; absent if the reason is unknown, which proves nothing. */
  readonly failure?: ProbeFailure;
  /** The server's certificate, if it failed verification. */
  readonly certificate?: ServedCertificate;
}

/** A certificate that a server presented, and that server's clock. */
export interface ServedCertificate {
  /** For example "CN=kubernetes,O=Kubernetes". */
  readonly subject: string;
  /** SHA-256, in the format of X509Certificate. */
  readonly fingerprint: string;
  /** In milliseconds since the epoch. */
  readonly validFrom: number;
  readonly validTo: number;
  /**
   * The time in the server's answer (its Date header), in milliseconds since the epoch; absent without that header.
   */
  readonly serverTime?: number;
}

/** The results of the agent's checks of its own ability to see the machine. */
export interface SelfFacts {
  /** Why a connection to the agent's own listener got no answer; null if it got one. */
  readonly loopback: string | null;
  /** How late a timer ran, in milliseconds. */
  readonly lateMillis: number;
  /** Memory that the machine can still give, in bytes. */
  readonly freeBytes: number;
  /** The agent's share of the memory that it may use, from 0 to 1. */
  readonly memoryShare: number;
}

/** Requests from the machine itself. A failure to connect is a result, not an error. */
export interface Probes {
  /** Sends a GET. `caPem` undefined: the server's certificate is not verified. `host` replaces the Host header. */
  http(
    url: string,
    options: {
      readonly signal: AbortSignal;
      readonly timeoutMillis: number;
      readonly host?: string;
      readonly caPem?: string;
      readonly certPem?: string;
      readonly keyPem?: string;
      /** Keeps the connection for the next request, which follows soon. */
      readonly keepAlive?: boolean;
    },
  ): Promise<ProbeResult>;
  /**
   * Measures small writes as etcd writes its log (fdatasync): the time until each is on disk, in milliseconds. The
   * folder need not exist yet. Leaves no files.
   */
  writes(folder: string, options: { readonly count: number; readonly signal: AbortSignal }): Promise<number[]>;
  /**
   * Returns the milliseconds until a host accepts or refuses a TCP connection; undefined if it does neither in
   * time.
   */
  roundTrip(
    host: string,
    options: { readonly port: number; readonly timeoutMillis: number; readonly signal: AbortSignal },
  ): Promise<number | undefined>;
  /**
   * Returns how many connections wait to be accepted at a TCP port of any address, from the kernel's tables;
   * undefined without a listener.
   */
  waiting(port: number): Promise<number | undefined>;
  /** The agent's own condition. */
  self(signal: AbortSignal): Promise<SelfFacts>;
  /** Returns the process that listens on a TCP port of any address ("nginx", pid), or undefined. */
  listener(port: number): Promise<{ readonly pid: number; readonly name: string } | undefined>;
}

/** Files too large for memory, and folders with their content. */
export interface LargeFiles {
  /**
   * The file's bytes from the offset on, in chunks.
   * @throws KhwError IO_FAILED
   */
  read(path: string, options?: { readonly from?: number; readonly to?: number }): AsyncIterable<Buffer>;
  /**
   * Writes a file with mode 0600, and returns its SHA-256 in hex; durable when it resolves. Replaces an existing
   * file; a failure leaves a partial file.
   */
  write(path: string, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string>;
  /** No error if the folder does not exist. */
  removeTree(path: string): Promise<void>;
}

/**
 * Facts that etcdctl reports of a database: its newest revision, the number of keys, and a checksum of the keys in
 * hex.
 */
export interface SnapshotFacts {
  readonly revision: number;
  readonly keys: number;
  readonly hash: string;
}

/** The member for which the data are restored. */
export interface RestoreOptions {
  readonly name: string;
  readonly peerUrl: string;
  /** For example "controller-0=https://10.240.0.10:2380,...". */
  readonly initialCluster: string;
  readonly token: string;
}

/**
 * etcd's own program for snapshots. Failures are KhwErrors IO_FAILED with its last output; PREFLIGHT_FAILED if it
 * is not installed.
 */
export interface Etcdctl {
  /** Saves a member's database, completely or not at all. Certificates and key are paths. */
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
   * Replaces a stopped member's data with those of a snapshot, and moves the old data to `aside`. Both are in the
   * folder `data`. `fresh`, in the same folder, marks a run that has begun; it stays until it is tidied.
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

export interface Clock {
  /** Milliseconds since the epoch. A person or a time server can change this clock at any time. */
  now(): number;
  /**
   * Milliseconds since the machine's boot (CLOCK_MONOTONIC), for durations. This clock only runs forward and cannot
   * be set.
   */
  monotonic(): number;
  /** Resolves after the time, or rejects with the signal's reason. */
  delay(millis: number, signal: AbortSignal): Promise<void>;
}
