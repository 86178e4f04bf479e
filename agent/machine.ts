import { arch } from "node:process";
import type { Architecture } from "../proto/components.ts";
import { KhwError } from "../proto/errors.ts";
import type { Identity } from "../proto/gen/khw/agent/v1/agent.ts";
import { createArchives } from "./os/archives.ts";
import { createLargeFiles } from "./os/large-files.ts";
import { createClock } from "./os/clock.ts";
import { createChildProcessDownloads } from "./os/downloads/child-process.ts";
import { createEtcdServers } from "./etcd/servers.ts";
import { createEtcdctl } from "./etcd/etcdctl.ts";
import { createFiles } from "./os/files.ts";
import { createLogs } from "./os/journal-stream.ts";
import { createMachineFacts } from "./os/machine.ts";
import type { Os } from "./os/os.ts";
import { createOutsideFolders } from "./os/outside.ts";
import { createPackageFiles } from "./os/package-files.ts";
import { createPackages } from "./os/packages.ts";
import { createProbes } from "./os/probes.ts";
import { createSystemd } from "./os/systemd.ts";
import { createTrials } from "./os/trials.ts";

export interface OsOptions {
  readonly identity: Identity;
}

/** Returns the interface to the machine that this process runs on. Disposal closes the connection to systemd. */
export function createOs({ identity }: OsOptions): Os & AsyncDisposable {
  const clock = createClock();
  const systemd = createSystemd();
  const files = createFiles();
  return {
    files,
    systemd,
    logs: createLogs(),
    packages: createPackages({ systemd, clock }),
    packageFiles: createPackageFiles(files),
    trials: createTrials(systemd),
    downloads: createChildProcessDownloads(),
    archives: createArchives(),
    etcd: createEtcdServers(files),
    probes: createProbes(clock),
    largeFiles: createLargeFiles(),
    outside: createOutsideFolders(systemd),
    etcdctl: createEtcdctl({ systemd, files }),
    machine: createMachineFacts(),
    identity,
    architecture: architecture(),
    clock,
    [Symbol.asyncDispose]: () => systemd[Symbol.asyncDispose](),
  };
}

function architecture(): Architecture {
  if (arch === "x64") return "amd64";
  if (arch === "arm64") return "arm64";
  throw new KhwError("UNSUPPORTED_MACHINE", `khw does not support the processor architecture ${arch}`, {
    hint: "use an amd64 or arm64 machine",
  });
}
