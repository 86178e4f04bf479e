import { createHash } from "node:crypto";
import { once } from "node:events";
import { basename } from "node:path";
import type { Clock } from "../../agent/os/clock.ts";
import type { Os } from "../../agent/os/os.ts";
import type { ProbeResult } from "../../agent/os/probes.ts";
import type { Ended } from "../../agent/os/run.ts";
import type { SelfFacts } from "../../agent/os/self.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Identity, LogEntry, Machine } from "../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeEtcd, type FakeEtcd } from "./etcd.ts";
import { createFakeBulk } from "./bulk.ts";
import { createFakeEtcdctl, type FakeEtcdctl } from "./etcdctl.ts";
import { createFakeFiles, type FakeFiles } from "./files.ts";
import { createFakePackageFiles } from "./package-files.ts";
import { createFakeSystemd, type FakeSystemd } from "./systemd.ts";

/** A package that apt can install. */
export interface FakePackage {
  readonly version: string;
  /** The contents of the package's files, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** The units that the package enables and starts when it is installed, as is usual in Debian. */
  readonly units?: readonly string[];
}

export interface FakeOs extends Os {
  readonly files: FakeFiles;
  readonly systemd: FakeSystemd;
  readonly clock: FakeClock;
  readonly etcd: FakeEtcd;
  readonly etcdctl: FakeEtcdctl;
  /** The packages that apt can install, by name. */
  readonly repository: Map<string, FakePackage>;
  /** The versions of the installed packages, by name. */
  readonly installed: Map<string, string>;
  /** Returns the result of running a program without privileges. By default, every program accepts its arguments. */
  trial: (argv: readonly string[], texts: Readonly<Record<string, string>>) => Ended;
  /** The error that `nginx -t` prints; empty if there is no error. */
  nginxComplaint: string;
  /** The contents of the files on the mirrors, by path below the mirror. */
  readonly mirror: Map<string, string | Uint8Array>;
  /** Probe results, by URL. Connections to all other URLs are refused. */
  readonly answers: Map<string, ProbeResult>;
  /** Journal lines, by unit. */
  readonly journal: Map<string, readonly LogEntry[]>;
  /** The processes that listen on TCP ports, by port. */
  readonly listeners: Map<number, { readonly pid: number; readonly name: string }>;
  /**
   * The number of connections that are waiting to be accepted, by port. Nothing listens on a port that is not in the
   * map.
   */
  readonly queues: Map<number, number>;
  /** The facts about the agent itself. */
  self: SelfFacts;
  /** The durations of small writes in milliseconds. */
  writes: number[];
  /**
   * The network latency of hosts in milliseconds, or undefined if a host does not answer. Hosts that are not listed
   * have a latency of 1 ms.
   */
  readonly distant: Map<string, number | undefined>;
  /** The errors of connections that fail, by ADDRESS:PORT. */
  readonly closed: Map<string, string>;
  /** Returns all changes to the machine, grouped by subsystem. Within each group, the changes are in order. */
  changes(): readonly string[];
}

export interface FakeClock extends Clock {
  /** Advances the clock by this many milliseconds. */
  advance(millis: number): void;
}

const machine: Machine = {
  operatingSystem: "Debian GNU/Linux 12",
  kernel: "6.1.0",
  cpus: 2,
  load: [0.1, 0.2, 0.3],
  memoryTotal: 4e9,
  memoryAvailable: 3e9,
  diskTotal: 20e9,
  diskAvailable: 15e9,
  uptimeSeconds: 3600,
};

export const fakeIdentity: Identity = {
  name: "controller-0",
  internalIp: "10.240.0.10",
  zone: "us-west1-c",
  region: "us-west1",
  project: "khw-testbed",
};

/**
 * Creates an in-memory machine. Tests can set the state that steps read, and can inspect the changes that steps make.
 */
export function createFakeOs(options: { readonly identity?: Identity } = {}): FakeOs {
  const clock = createFakeClock();
  const files = createFakeFiles(() => clock.now());
  const systemd = createFakeSystemd(files, () => clock.now());
  const installed = new Map<string, string>();
  const changes: string[] = [];

  const os: FakeOs = {
    files,
    systemd,
    clock,
    largeFiles: createFakeBulk(files),
    etcdctl: createFakeEtcdctl(files),
    outside: {
      removeFiles: async (paths) => {
        for (const path of paths) await files.remove(path);
      },
      removeEmptyFolders: (path) => removeEmptyFolders(files, path),
      makeFolder: (path) => files.mkdir(path, 0o755),
    },
    identity: options.identity ?? fakeIdentity,
    architecture: "amd64",
    repository: new Map(),
    installed,
    packageFiles: createFakePackageFiles({ files, systemd, changes }),
    trial: () => ({ code: 0, lines: [] }),
    trials: { run: async (argv, { texts = {} }) => os.trial(argv, texts) },
    nginxComplaint: "",
    mirror: new Map(),
    answers: new Map(),
    listeners: new Map(),
    queues: new Map(),
    self: { loopback: null, lateMillis: 0, freeBytes: 3e9, memoryShare: 0.2 },
    writes: [1],
    distant: new Map(),
    closed: new Map(),
    journal: new Map(),
    logs: {
      async *stream({ unit, lines, sinceUnixMillis, follow }, signal) {
        const kept = (os.journal.get(unit) ?? []).filter(({ timeUnixMillis }) => timeUnixMillis >= sinceUnixMillis);
        yield* kept.slice(-lines || undefined);
        if (follow) await once(signal, "abort");
      },
    },
    changes: () => [...files.changes, ...systemd.changes, ...changes],
    machine: { read: async () => machine },
    packages: {
      installed: async (name) => installed.get(name),
      install: async (name, { progress, adding }) => {
        changes.push(`install ${name}`);
        const found = os.repository.get(name);
        if (found === undefined) throw new KhwError("PACKAGE_FAILED", `E: Unable to locate package ${name}`);
        await adding([name]);
        progress(`Setting up ${name} (${found.version}) ...`);
        for (const [path, content] of Object.entries(found.files ?? {})) files.put(path, content);
        for (const unit of found.units ?? []) {
          await systemd.enable(unit);
          await systemd.start(unit, AbortSignal.timeout(1000));
        }
        installed.set(name, found.version);
      },
      left: async (names) => names.filter((name) => installed.has(name)),
      purge: async (names) => {
        for (const name of names) {
          changes.push(`purge ${name}`);
          const { files: contents = {}, units = [] } = os.repository.get(name) ?? { version: "" };
          for (const unit of units) {
            await systemd.stop(unit, AbortSignal.timeout(1000));
            await systemd.disable(unit);
          }
          for (const path of Object.keys(contents)) files.drop(path);
          await removeEmptyFolders(files, "/etc/nginx");
          installed.delete(name);
        }
      },
      testNginx: async () => {
        if (os.nginxComplaint !== "") throw new KhwError("SERVICE_FAILED", os.nginxComplaint);
      },
    },
    downloads: {
      text: async ({ path, mirrors: [mirror = ""] }) => ({
        text: Buffer.from(mirrored(os, path)).toString("utf8"),
        mirror,
      }),
      file: async ({ path, to, sha256, mostBytes, progress }) => {
        const content = Buffer.from(mirrored(os, path));
        if (content.length > mostBytes)
          throw new KhwError("DOWNLOAD_FAILED", `${path}: longer than ${mostBytes} bytes`);
        progress("1 of 1 MB");
        const digest = createHash("sha256").update(content).digest("hex");
        if (digest !== sha256) throw new KhwError("DIGEST_MISMATCH", `${path}: SHA-256 is ${digest}, not ${sha256}`);
        await files.write(to, content, 0o755);
      },
    },
    archives: {
      extract: async ({ archive, members, to }) => {
        for (const member of members)
          files.put(`${to}/${basename(member)}`, `${member} of ${files.text(archive)}`, 0o755);
      },
    },
    etcd: createFakeEtcd(),
    probes: {
      http: async (url) => os.answers.get(url) ?? { status: 0, body: "connect ECONNREFUSED", failure: "refused" },
      listeners: async (ports) => new Map([...os.listeners].filter(([port]) => ports.includes(port))),
      writes: async () => os.writes,
      connect: async (address, { port }) => os.closed.get(`${address}:${port}`) ?? "",
      roundTrip: async (host) => (os.distant.has(host) ? os.distant.get(host) : 1),
      waiting: async (port) => os.queues.get(port),
      self: async () => os.self,
    },
  };
  return os;
}

async function removeEmptyFolders(files: FakeFiles, path: string): Promise<void> {
  if ((await files.stat(path))?.kind !== "directory") return;
  for (const name of await files.list(path)) await removeEmptyFolders(files, `${path}/${name}`);
  if ((await files.list(path)).length === 0) await files.remove(path);
}

function mirrored(os: FakeOs, path: string): string | Uint8Array {
  const content = os.mirror.get(path);
  if (content === undefined) throw new KhwError("DOWNLOAD_FAILED", `${path}: mirror: HTTP 404`);
  return content;
}

/** Creates a clock on which every delay ends immediately. */
export function createFakeClock(start = Date.UTC(2024, 0, 1)): FakeClock {
  let time = start;
  return {
    now: () => time,
    // `advance` moves both clocks. To change only the wall clock, a test replaces `now`.
    monotonic: () => time,
    advance: (millis) => {
      time += millis;
    },
    delay: async (millis, signal) => {
      signal.throwIfAborted();
      time += millis;
    },
  };
}
