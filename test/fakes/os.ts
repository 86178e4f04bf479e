import { createHash } from "node:crypto";
import { once } from "node:events";
import { basename } from "node:path";
import type { Clock } from "../../agent/os/clock.ts";
import type { Os } from "../../agent/os/os.ts";
import type { ProbeResult } from "../../agent/os/probes.ts";
import type { SelfFacts } from "../../agent/os/self.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Identity, LogEntry, Machine } from "../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeEtcd, type FakeEtcd } from "./etcd.ts";
import { createFakeBulk } from "./bulk.ts";
import { createFakeEtcdctl, type FakeEtcdctl } from "./etcdctl.ts";
import { createFakeFiles, type FakeFiles } from "./files.ts";
import { createFakeSystemd, type FakeSystemd } from "./systemd.ts";

/** A package as apt would install it. */
export interface FakePackage {
  readonly version: string;
  /** Contents by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Units that the installation enables and starts, as Debian's packages do. */
  readonly units?: readonly string[];
}

export interface FakeOs extends Os {
  readonly files: FakeFiles;
  readonly systemd: FakeSystemd;
  readonly clock: FakeClock;
  readonly etcd: FakeEtcd;
  readonly etcdctl: FakeEtcdctl;
  /** What apt can install, by name. */
  readonly repository: Map<string, FakePackage>;
  /** What `nginx -t` complains about; empty: nothing. */
  nginxComplaint: string;
  /** Contents of the mirrors' files, by path below a mirror. */
  readonly mirror: Map<string, string | Uint8Array>;
  /** Answers by URL; a URL that is not here refuses the connection. */
  readonly answers: Map<string, ProbeResult>;
  /** Lines of the journal, by unit. */
  readonly journal: Map<string, readonly LogEntry[]>;
  /** Processes by the port that they listen on. */
  readonly listeners: Map<number, { readonly pid: number; readonly name: string }>;
  /** How many connections wait to be accepted, by port; nobody listens at the others. */
  readonly queues: Map<number, number>;
  /** The agent's own condition. */
  self: SelfFacts;
  /** How long small writes take, in milliseconds. */
  writes: number[];
  /** How far hosts are, in milliseconds; undefined: they do not answer. Others are 1 ms away. */
  readonly distant: Map<string, number | undefined>;
  /** All that changed the machine, in the order of each part. */
  changes(): readonly string[];
}

export interface FakeClock extends Clock {
  /** Lets time pass. */
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

/** A machine in memory: what steps change on it can be looked at, and what they see can be set. */
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
    identity: options.identity ?? fakeIdentity,
    architecture: "amd64",
    repository: new Map(),
    nginxComplaint: "",
    mirror: new Map(),
    answers: new Map(),
    listeners: new Map(),
    queues: new Map(),
    self: { loopback: null, lateMillis: 0, freeBytes: 3e9, memoryShare: 0.2 },
    writes: [1],
    distant: new Map(),
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
      install: async (name, { progress }) => {
        changes.push(`install ${name}`);
        const found = os.repository.get(name);
        if (found === undefined) throw new KhwError("PACKAGE_FAILED", `E: Unable to locate package ${name}`);
        progress(`Setting up ${name} (${found.version}) ...`);
        for (const [path, content] of Object.entries(found.files ?? {})) files.put(path, content);
        for (const unit of found.units ?? []) {
          await systemd.enable(unit);
          await systemd.start(unit, AbortSignal.timeout(1000));
        }
        installed.set(name, found.version);
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
      listener: async (port) => os.listeners.get(port),
      writes: async () => os.writes,
      roundTrip: async (host) => (os.distant.has(host) ? os.distant.get(host) : 1),
      waiting: async (port) => os.queues.get(port),
      self: async () => os.self,
    },
  };
  return os;
}

function mirrored(os: FakeOs, path: string): string | Uint8Array {
  const content = os.mirror.get(path);
  if (content === undefined) throw new KhwError("DOWNLOAD_FAILED", `${path}: mirror: HTTP 404`);
  return content;
}

/** A clock on which a delay passes at once. */
export function createFakeClock(start = Date.UTC(2024, 0, 1)): FakeClock {
  let time = start;
  return {
    now: () => time,
    // Time that is let pass, passes on both; a test that sets the clock replaces `now`.
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
