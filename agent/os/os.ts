import type { Architecture } from "../../proto/components.ts";
import type { Identity, LogEntry, Machine } from "../../proto/gen/khw/agent/v1/agent.ts";

/** All of the machine that steps see: the seam between what khw decides and what the machine does. */
export interface Os {
  readonly files: Files;
  readonly systemd: Systemd;
  readonly logs: Logs;
  readonly packages: Packages;
  readonly downloads: Downloads;
  readonly archives: Archives;
  readonly etcd: EtcdServers;
  readonly probes: Probes;
  readonly bulk: Bulk;
  readonly etcdctl: Etcdctl;
  readonly machine: MachineFacts;
  readonly identity: Identity;
  readonly architecture: Architecture;
  readonly clock: Clock;
}

/** What status tells of the machine itself. */
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
  /** Milliseconds since the epoch of the last change of content or attributes (ctime). */
  readonly changedAt: number;
  readonly inode: bigint;
  readonly device: bigint;
  /** Where a symbolic link points; absent for anything else. */
  readonly target?: string | undefined;
}

/** Paths are absolute. Failures are KhwErrors IO_FAILED naming the path, with a hint where the disk is full or read-only. */
export interface Files {
  /** Undefined when there is none. Does not follow a symbolic link. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** Undefined when there is none. */
  read(path: string): Promise<Buffer | undefined>;
  /** As `read`, for the few small files that are asked for every other second: remembered for as long as `sha256` is. */
  readOften(path: string): Promise<Buffer | undefined>;
  /** SHA-256 in hex, undefined when there is none; remembered for as long as the file's inode, size and change time stay. */
  sha256(path: string): Promise<string | undefined>;
  /** Puts the whole content there, or nothing: temporary file, fsync, rename, fsync of the folder. Owner root. */
  write(path: string, content: string | Uint8Array, mode: number): Promise<void>;
  /** Adds to the end of a file, which it makes where there is none; durable when it resolves. */
  append(path: string, content: Uint8Array, mode: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  /** Makes the folder and its parents; those that exist keep their modes. */
  mkdir(path: string, mode: number): Promise<void>;
  /** Replaces whatever file or link was there. */
  symlink(target: string, path: string): Promise<void>;
  /** Puts the same inode at `to`, atomically, replacing what was there; both on one file system. */
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Names in a folder; empty when there is none. */
  list(path: string): Promise<string[]>;
  /** No error when there is none. */
  remove(path: string): Promise<void>;
  /**
   * Hears, soon after, that something in one of these folders changed (its files' content, mode, owner or names), also when
   * the folder itself goes and comes back, until the returned function is called. Many changes at once are told as one. Told once at the beginning, too: from then on nothing is missed.
   */
  watch(folders: readonly string[], listener: () => void): () => void;
  /** Bytes that root may still write to the file system that holds the (perhaps not yet existing) path. */
  available(path: string): Promise<number>;
}

/** The files that systemd made a unit from. */
export interface UnitSources {
  /** The unit's own file; empty when it is not loaded. */
  readonly fragment: string;
  /** In the order in which they are read. */
  readonly dropIns: readonly string[];
}

export interface UnitStatus {
  readonly loadState: string;
  readonly activeState: string;
  readonly subState: string;
  /** "enabled", "disabled", ...; empty when there is no unit file. */
  readonly unitFileState: string;
  /** systemd's word for how it last ended: "success", "exit-code", "start-limit-hit", ... */
  readonly result: string;
  /** The unit's files on disk are not those that systemd has loaded. */
  readonly needsReload: boolean;
  readonly mainPid: number;
  /** Milliseconds since the epoch when it became active; 0 when it did not. */
  readonly activeSince: number;
  /** The same moment by Clock.monotonic. */
  readonly activeMonotonic: number;
  /** Milliseconds since the epoch of its last change of state: a start, a stop, or a reload (StateChangeTimestamp). */
  readonly stateSince: number;
  readonly restarts: number;
  /** Its last start was not begun, since a condition of its unit did not hold; absent when it was. */
  readonly unmet?: boolean;
}

/** A unit changed; where the news itself tell to which state, they are told one by one, though a later look may miss some. */
export interface UnitChange {
  readonly name: string;
  readonly activeState?: string;
  readonly subState?: string;
}

/** The service manager, over D-Bus. Unit names carry their suffix. */
export interface Systemd {
  unit(name: string): Promise<UnitStatus>;
  /** The files of the unit as it is loaded now. */
  sources(name: string): Promise<UnitSources>;
  /** daemon-reload; calls made while one runs share the next. */
  reload(): Promise<void>;
  enable(name: string): Promise<void>;
  /** Waits for the job's end. @throws KhwError SERVICE_FAILED with the job's result. */
  start(name: string, signal: AbortSignal): Promise<void>;
  restart(name: string, signal: AbortSignal): Promise<void>;
  stop(name: string, signal: AbortSignal): Promise<void>;
  /** Has the service read its configuration again (ExecReload). */
  reloadService(name: string, signal: AbortSignal): Promise<void>;
  /** Resolves at the unit's next change of state (or at the signal's abort, with its reason). */
  changed(name: string, signal: AbortSignal): Promise<void>;
  /**
   * Hears of every change of these units until the returned function is called, and of all of them when changes may have been
   * missed: the connection came back, or systemd has read its files anew.
   */
  watch(names: readonly string[], listener: (change: UnitChange) => void): () => void;
  /** Sends SIGKILL to all processes of the unit; no error when it has none. */
  kill(name: string): Promise<void>;
  /** Lets a unit that systemd gave up on be started again; no error when it is not loaded. */
  resetFailed(name: string): Promise<void>;
  /** The last lines of the unit's journal since its last start, oldest first. */
  journal(name: string, lines: number): Promise<string[]>;
  /**
   * The lines of the unit's last starts, a list each, oldest first, out of so many of its journal's last lines; without the
   * flags and stacks that programs print at length.
   */
  starts(name: string, lines: number): Promise<string[][]>;
  /**
   * How the service's last process ended, as systemd words it in the journal, also where the journal missed it; nothing while
   * one runs, and where it ended well.
   */
  ending(name: string): Promise<string[]>;
  /** What a running process was started as; undefined when it is gone. */
  process(pid: number): Promise<RunningProcess | undefined>;
}

/** What units have written. */
export interface Logs {
  /** Oldest first, as fast as it is read. It ends at the signal's abort, with its reason. @throws KhwError IO_FAILED. */
  stream(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogEntry>;
}

export interface LogsRequest {
  /** With its suffix. */
  readonly unit: string;
  /** At most so many of those that are there, the newest; 0: all. */
  readonly lines: number;
  /** Nothing older, in milliseconds since the epoch; 0: no bound. */
  readonly sinceUnixMillis: number;
  /** Goes on with what is written from now on. */
  readonly follow: boolean;
}

export interface RunningProcess {
  readonly environment: Readonly<Record<string, string>>;
  /** Its command line, or the title that it gave itself instead. */
  readonly argv: readonly string[];
  /** The inode and device that it executes. */
  readonly inode: bigint;
  readonly device: bigint;
}

/** The distribution's packages. */
export interface Packages {
  /** The installed version, undefined when it is not (wholly) installed. */
  installed(name: string): Promise<string | undefined>;
  /**
   * Updates apt's lists and installs, in a transient unit of its own, waiting for a lock that another holds.
   * @throws KhwError PACKAGE_FAILED with apt's last lines.
   */
  install(
    name: string,
    options: { readonly signal: AbortSignal; readonly progress: (text: string) => void },
  ): Promise<void>;
  /** Runs `nginx -t` in a transient unit. @throws KhwError SERVICE_FAILED with what it says. */
  testNginx(signal: AbortSignal): Promise<void>;
}

export interface DownloadRequest {
  /** Base URLs (https, http, file) or absolute folders, in order. */
  readonly mirrors: readonly string[];
  /** Below a mirror, for example "v1.21.0/bin/linux/amd64/kubectl". */
  readonly path: string;
  readonly proxy: string;
  readonly caPem: string;
  readonly signal: AbortSignal;
}

export interface Downloads {
  /** A small text file, at most 4 KiB; from the first mirror that has it. @throws KhwError DOWNLOAD_FAILED naming what each mirror said. */
  text(request: DownloadRequest): Promise<string>;
  /**
   * Streams a file to `to` (mode 0755, whole or not at all), hashing as it streams; resumes after a cut by Range, retries
   * what can pass, goes on to the next mirror. @throws KhwError DOWNLOAD_FAILED or DIGEST_MISMATCH.
   */
  file(
    request: DownloadRequest & {
      readonly to: string;
      readonly sha256: string;
      readonly progress: (text: string) => void;
    },
  ): Promise<void>;
}

/** Archives as releases are packed. */
export interface Archives {
  /**
   * Puts files of a .tar.gz into a folder that exists, without their own folder; they are on disk when it resolves.
   * @throws KhwError IO_FAILED with the archiver's last lines.
   */
  extract(request: {
    readonly archive: string;
    /** As the archive names them: "FOLDER/FILE". */
    readonly members: readonly string[];
    readonly to: string;
    readonly signal: AbortSignal;
  }): Promise<void>;
}

/** The cluster's etcd servers, asked with the API server's own certificate. */
export interface EtcdServers {
  /**
   * What a server of the v3 API answers: 64-bit numbers are decimal strings in it, bytes are Base64.
   * @param server its client URL. @throws KhwError NOT_READY when it cannot be asked, or refuses.
   */
  post(
    server: string,
    request: {
      readonly path: string;
      readonly body: unknown;
      readonly signal: AbortSignal;
      /** 3 s where not given. */
      readonly timeoutMillis?: number;
    },
  ): Promise<Readonly<Record<string, unknown>>>;
}

/** Why a question got no HTTP answer, and what that says of the one who was asked. */
export type ProbeFailure =
  /** The connection was refused. */
  | "refused"
  /** There was no connection within the time. */
  | "unconnected"
  /** There was a connection, and no answer within the time. */
  | "silent"
  /** The server ended the connection without an answer, or answered no HTTP. */
  | "closed"
  /** The server's certificate failed verification: the server lives. */
  | "unverified"
  /** The server refused the TLS handshake, for example for the certificate that it was shown: it lives. */
  | "rejected"
  /** The asker itself failed (no file descriptors, no route, its event loop was busy): nothing is known of the server. */
  | "own";

export interface ProbeResult {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The answer's first 4 KiB, or why there was none. */
  readonly body: string;
  /** Why there was no answer; absent where that is not known, which is evidence of nothing. */
  readonly failure?: ProbeFailure;
  /** The server's certificate, where it failed verification. */
  readonly certificate?: ServedCertificate;
}

/** A certificate that a server showed, and that server's own clock. */
export interface ServedCertificate {
  /** For example "CN=kubernetes,O=Kubernetes". */
  readonly subject: string;
  /** SHA-256, as X509Certificate writes it. */
  readonly fingerprint: string;
  /** In milliseconds since the epoch. */
  readonly validFrom: number;
  readonly validTo: number;
  /** The time in the server's answer (its Date header), in milliseconds since the epoch; absent where it gave none. */
  readonly serverTime?: number;
}

/** The results of the agent's checks of its own ability to see the machine. */
export interface SelfFacts {
  /** Why a connection to a listener of the agent's own got no answer; null when it got one. */
  readonly loopback: string | null;
  /** How much later than it was due a timer ran, in milliseconds. */
  readonly lateMillis: number;
  /** Memory that the machine can still give, in bytes. */
  readonly freeBytes: number;
  /** The part that the agent uses of the memory that it may use, from 0 to 1. */
  readonly memoryShare: number;
}

/** Looks from the machine itself; a failure to connect is a result, not an error. */
export interface Probes {
  /** GET; `caPem` undefined: the server's certificate is not checked. `host` replaces the Host header. */
  http(
    url: string,
    options: {
      readonly signal: AbortSignal;
      readonly timeoutMillis: number;
      readonly host?: string;
      readonly caPem?: string;
      readonly certPem?: string;
      readonly keyPem?: string;
      /** Asked again soon: the connection is kept for the next time. */
      readonly keepAlive?: boolean;
    },
  ): Promise<ProbeResult>;
  /**
   * How long each of so many small writes takes, in milliseconds, until the file system that holds the (perhaps not yet
   * existing) folder has it on disk, as etcd writes its log (fdatasync). Leaves nothing behind.
   */
  writes(folder: string, options: { readonly count: number; readonly signal: AbortSignal }): Promise<number[]>;
  /** Milliseconds until a host accepts or refuses a TCP connection; undefined when it does neither within the time. */
  roundTrip(
    host: string,
    options: { readonly port: number; readonly timeoutMillis: number; readonly signal: AbortSignal },
  ): Promise<number | undefined>;
  /** How many connections wait to be accepted at a TCP port of any address, by the kernel's own tables; undefined: nobody listens. */
  waiting(port: number): Promise<number | undefined>;
  /** The agent's own condition. */
  self(signal: AbortSignal): Promise<SelfFacts>;
  /** The process that listens on a TCP port of any address ("nginx", pid), or undefined. */
  listener(port: number): Promise<{ readonly pid: number; readonly name: string } | undefined>;
}

/** Files that are too large to be held in memory, and folders with all that is in them. */
export interface Bulk {
  /** The file's bytes from the offset on, in chunks. @throws KhwError IO_FAILED. */
  read(path: string, options?: { readonly from?: number; readonly to?: number }): AsyncIterable<Buffer>;
  /** Durable when it resolves, with mode 0600. What was there is replaced; a failure leaves a part. Answers its SHA-256 in hex. */
  write(path: string, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string>;
  /** No error when there is none. */
  removeTree(path: string): Promise<void>;
}

/** What etcdctl says of a database: its newest revision, how many keys, and a checksum of them in hex. */
export interface SnapshotFacts {
  readonly revision: number;
  readonly keys: number;
  readonly hash: string;
}

/** Whom the restored data are for. */
export interface RestoreOptions {
  readonly name: string;
  readonly peerUrl: string;
  /** For example "controller-0=https://10.240.0.10:2380,...". */
  readonly initialCluster: string;
  readonly token: string;
}

/** etcd's own program for snapshots. Failures are KhwErrors IO_FAILED with its last words, PREFLIGHT_FAILED where it is missing. */
export interface Etcdctl {
  /** Saves a member's database, whole or not at all. Certificates and key are paths. */
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
  /** Reads a snapshot, or a database that was restored from one. */
  inspect(path: string, signal: AbortSignal): Promise<SnapshotFacts>;
  /** Makes a data folder (which must not be there) of a snapshot, whose own digest is checked. */
  restore(snapshot: string, folder: string, options: RestoreOptions & { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Puts what a snapshot restores in the place of a stopped member's data, which are moved `aside`, both in the folder `data`.
   * `fresh`, in there too, tells an interrupted run from one that was not begun: it stays until it is tidied.
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
  /** Milliseconds since the epoch. A person or a time server may set it forward or back at any time. */
  now(): number;
  /** Milliseconds since the machine's boot (CLOCK_MONOTONIC): it only runs forward, and nobody sets it. For durations. */
  monotonic(): number;
  /** Resolves after the time, or rejects with the signal's reason. */
  delay(millis: number, signal: AbortSignal): Promise<void>;
}
