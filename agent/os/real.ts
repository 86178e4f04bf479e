import { arch } from "node:process";
import type { Architecture } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Identity } from "../../proto/gen/khw/agent/v1/agent.ts";
import { createArchives } from "./archives.ts";
import { createBulk } from "./bulk.ts";
import { createClock } from "./clock.ts";
import { createSeparateDownloads } from "./downloads/separate.ts";
import { createEtcdServers } from "./etcd-servers.ts";
import { createEtcdctl } from "./etcdctl.ts";
import { createFiles } from "./files.ts";
import { createLogs } from "./journal-stream.ts";
import { createMachineFacts } from "./machine.ts";
import type { Os } from "./os.ts";
import { createPackages } from "./packages.ts";
import { createProbes } from "./probes.ts";
import { createSystemd } from "./systemd.ts";

export interface OsOptions {
  readonly identity: Identity;
}

/** The machine that this process runs on. Disposing of it closes its connection to systemd. */
export function createOs({ identity }: OsOptions): Os & AsyncDisposable {
  const clock = createClock();
  const systemd = createSystemd();
  const files = createFiles();
  return {
    files,
    systemd,
    logs: createLogs(),
    packages: createPackages({ systemd, clock }),
    downloads: createSeparateDownloads(),
    archives: createArchives(),
    etcd: createEtcdServers(files),
    probes: createProbes(),
    bulk: createBulk(),
    etcdctl: createEtcdctl({ systemd }),
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
  throw new KhwError("PREFLIGHT_FAILED", `khw does not install Kubernetes on ${arch}`, {
    hint: "use a machine of type amd64 or arm64",
  });
}
