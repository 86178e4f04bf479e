/**
 * Starts the testbed's servers. They are Node programs that run in the bridge's network namespace and in the testbed's
 * control group.
 */
import { spawn } from "node:child_process";
import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { inGroup, makeGroup } from "./cgroup.ts";
import { plainEnvironment } from "./command.ts";
import { realEtcdVersion } from "./etcd.ts";
import {
  gateway,
  groupOf,
  metadataAddress,
  mirrorIdentityFolder,
  namespaceOf,
  namespacePath,
  ports,
  project,
  publicAddress,
  stateFolder,
} from "./layout.ts";
import type { Place } from "./layout.ts";
import type { Prepared } from "./prepare.ts";
import { together } from "./together.ts";

/** The time limit for a server to report that it is ready. */
const readyTimeoutMs = 180_000;

/** Returns the control socket of a testbed's server. */
export function controlSocket(id: string, name: string): string {
  return join(stateFolder(id), `${name}.sock`);
}

/** Starts a server and waits until it prints `ready`. Its errors go to `NAME.log` in the state folder. */
async function startServer(id: string, name: string, argv: readonly string[]): Promise<void> {
  const logFile = join(stateFolder(id), `${name}.log`);
  const log = await open(logFile, "w");
  const namespace = `--net=${namespacePath(namespaceOf(id))}`;
  const program = ["nsenter", namespace, "--", process.execPath, ...argv, "--control", controlSocket(id, name)];
  const [file = "", ...args] = inGroup(await makeGroup(groupOf(id, "servers")), program);
  const child = spawn(file, args, { detached: true, env: plainEnvironment, stdio: ["ignore", "pipe", log.fd] });
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = AbortSignal.timeout(readyTimeoutMs);
      deadline.addEventListener("abort", () => reject(new Error(`not ready after ${readyTimeoutMs / 1000} s`)));
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`ended: ${signal ?? code}`)));
      child.stdout?.once("data", () => resolve());
    });
  } catch (cause) {
    throw new Error(`the testbed's ${name} server does not start: ${await readFile(logFile, "utf8")}`, { cause });
  } finally {
    await log.close();
  }
  // From here on, the server ends only with its control group. It neither keeps this process alive nor ends with it.
  child.removeAllListeners("exit");
  child.stdout?.destroy();
  child.unref();
}

export interface ServersOptions {
  readonly nodes: readonly Place[];
  readonly prepared: Prepared;
  /** Whether the release mirror also serves over TLS. */
  readonly tlsMirror: boolean;
  /** Divides the interval of the load balancer's health checks. */
  readonly probeScale: number;
}

/**
 * Starts the metadata server, the release mirror, the apt repository and Compute Engine. Waits until all of them are
 * serving.
 */
export async function startServers(id: string, options: ServersOptions): Promise<void> {
  const { nodes, prepared, tlsMirror, probeScale } = options;
  const program = (path: string): string => join(import.meta.dirname, path);
  const instances = nodes
    .map(({ name, address, externalAddress, zone = project.zone }) => `${name}=${address}/${externalAddress}/${zone}`)
    .join(",");
  const versions = (await readdir(prepared.kubernetes)).filter((name) => name.startsWith("v"));
  const releases = ["release", "kubernetes-release/release"].flatMap((mirror) =>
    versions.map((version) => `/${mirror}/${version}/bin/linux/${architecture}/=${join(prepared.kubernetes, version)}`),
  );
  const etcd = ["etcd-io/etcd/releases/download", "etcd"].map(
    (mirror) => `/${mirror}/${realEtcdVersion}/=${join(prepared.etcd, realEtcdVersion)}`,
  );
  const files = (port: number, served: readonly string[]): readonly string[] => [
    program("servers/files.ts"),
    `--listen=${gateway}:${port}`,
    ...served.map((each) => `--serve=${each}`),
  ];
  await together(
    startServer(id, "metadata", [
      program("servers/metadata.ts"),
      `--listen=${metadataAddress}:80`,
      `--project=${project.id}/${project.number}`,
      `--zone=${project.region}/${project.zone}`,
      `--compute=${controlSocket(id, "compute")}`,
      `--instances=${instances}`,
    ]),
    startServer(id, "mirror", [
      ...files(ports.mirror, [...releases, ...etcd]),
      ...(tlsMirror ? [`--tls=${gateway}:${ports.tlsMirror}`, `--identity=${mirrorIdentityFolder(id)}`] : []),
    ]),
    startServer(id, "packages", files(ports.packages, [`/=${prepared.packages}`])),
    startServer(id, "compute", [
      program("compute/main.ts"),
      `--listen=${gateway}:${ports.compute}`,
      `--project=${project.id}`,
      `--region=${project.region}`,
      `--zone=${project.zone}`,
      `--address=${publicAddress}`,
      `--instances=${instances}`,
      `--probe-scale=${probeScale}`,
    ]),
  );
}

/** The host's architecture, as Kubernetes calls it. The programs in the cache are built for this architecture. */
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
