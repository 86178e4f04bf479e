import type { Architecture } from "../../proto/components.ts";
import type { Identity } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Archives } from "./archives.ts";
import type { Clock } from "./clock.ts";
import type { Downloads } from "./downloads.ts";
import type { EtcdServers } from "./etcd-servers.ts";
import type { Etcdctl } from "./etcdctl.ts";
import type { Files } from "./files.ts";
import type { Logs } from "./journal-stream.ts";
import type { LargeFiles } from "./large-files.ts";
import type { MachineFacts } from "./machine.ts";
import type { OutsideFolders } from "./outside.ts";
import type { PackageFiles } from "./package-files.ts";
import type { Packages } from "./packages.ts";
import type { Probes } from "./probes.ts";
import type { Systemd } from "./systemd.ts";
import type { Trials } from "./trials.ts";

/** Everything that steps can see and do on the machine. This interface separates khw's decisions from the machine. */
export interface Os {
  readonly files: Files;
  readonly systemd: Systemd;
  readonly logs: Logs;
  readonly packages: Packages;
  readonly packageFiles: PackageFiles;
  readonly trials: Trials;
  readonly downloads: Downloads;
  readonly archives: Archives;
  readonly etcd: EtcdServers;
  readonly probes: Probes;
  readonly largeFiles: LargeFiles;
  readonly outside: OutsideFolders;
  readonly etcdctl: Etcdctl;
  readonly machine: MachineFacts;
  readonly identity: Identity;
  readonly architecture: Architecture;
  readonly clock: Clock;
}
