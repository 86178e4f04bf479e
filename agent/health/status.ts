import { programs } from "../../proto/components.ts";
import { type Component, type Diagnosis, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { askHealth, type HealthCheck } from "./health.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";
import {
  etcdReleaseFolder,
  etcdReleasesFolder,
  installedProgram,
  releasedProgram,
  releasesFolder,
  unitFile,
} from "../paths.ts";

/** The facts from which a component's status is built. */
export interface ComponentFacts {
  readonly name: string;
  readonly unit: UnitStatus;
  readonly version: string;
  /** The minor release that the unit makes the program emulate, or an empty string. */
  readonly emulatedVersion: string;
  /** The reason why the component is unhealthy; null if it is healthy. */
  readonly reason: string | null;
  readonly diagnosis: Diagnosis | undefined;
  readonly supervisedRestarts: number;
  readonly nextRestartUnixMillis: number;
}

export function toComponent({ unit, reason, ...facts }: ComponentFacts): Component {
  const installed = unit.loadState !== "not-found";
  return {
    ...facts,
    activeState: installed ? unit.activeState : "not-found",
    subState: unit.subState,
    enabled: unit.unitFileState === "enabled",
    pid: unit.mainPid,
    sinceUnixMillis: unit.activeState === "active" ? unit.activeSince : 0,
    restarts: unit.restarts,
    health: reason === null ? Health.HEALTH_HEALTHY : Health.HEALTH_UNHEALTHY,
    reason: reason ?? "",
  };
}

/**
 * Whether to report the component for this machine. etcd may run on other machines instead. The components from lab 08
 * are reported even if they are missing.
 */
export function isHere({ component }: HealthCheck, { loadState }: UnitStatus): boolean {
  return component !== "etcd" || loadState !== "not-found";
}

/** Returns the reason why a unit that is not active is unhealthy. */
export function inactiveReason({ loadState, activeState }: UnitStatus): string {
  return `it is ${loadState === "not-found" ? "not installed" : activeState}`;
}

/**
 * Returns the component's installed version; empty if it is unknown. For a Kubernetes program, finds the release whose
 * program has the same inode as the program in /usr/local/bin. For a package, asks dpkg. For etcd, prefers the version
 * that etcd reports, because khw might not have installed etcd.
 */
export async function installedVersion(check: HealthCheck, os: Os): Promise<string> {
  const { files, packages } = os;
  if (check.component === "etcd") return (await etcdVersion(check, os)) || (await installedEtcd(os));
  const program = programs.find((known) => known === check.component);
  if (program === undefined) return (await packages.installed(check.component)) ?? "";
  const versions = await files.list(releasesFolder);
  return linkedVersion(installedProgram(program), versions, {
    files,
    released: (one) => releasedProgram(one, program),
  });
}

/** Returns the minor release that the installed unit makes the program emulate, such as "1.31", or an empty string. */
export async function emulatedVersion({ unit }: HealthCheck, { files }: Pick<Os, "files">): Promise<string> {
  const text = (await files.read(unitFile(unit)))?.toString("utf8") ?? "";
  return /\s--emulated-version='?(?:kube=)?(1\.\d{1,3})\b/.exec(text)?.[1] ?? "";
}

/** Returns the version of the installed etcd program. Omits the leading "v", as etcd itself does. */
async function installedEtcd({ files }: Os): Promise<string> {
  const versions = await files.list(etcdReleasesFolder);
  const released = (version: string): string => `${etcdReleaseFolder(version)}/etcd`;
  return (await linkedVersion(installedProgram("etcd"), versions, { files, released })).replace(/^v/, "");
}

interface LinkedOptions {
  readonly files: Pick<Files, "stat">;
  /** Returns the program's path in the folder of this release. */
  readonly released: (version: string) => string;
}

/**
 * Returns the version of the release whose program is the same file as the installed program; empty if there is no such
 * release.
 */
async function linkedVersion(
  installed: string,
  versions: readonly string[],
  { files, released }: LinkedOptions,
): Promise<string> {
  const own = await files.stat(installed);
  if (own === undefined) return "";
  for (const version of versions) {
    const candidate = await files.stat(released(version));
    if (candidate?.inode === own.inode && candidate.device === own.device) return version;
  }
  return "";
}

async function etcdVersion(check: HealthCheck, os: Os): Promise<string> {
  const url = new URL("/version", check.url).href;
  const asked = await askHealth({ ...check, url }, os, { signal: AbortSignal.timeout(askMillis), keepAlive: true });
  return typeof asked === "string" ? "" : (/"etcdserver"\s*:\s*"([0-9.]+)"/.exec(asked.body)?.[1] ?? "");
}

const askMillis = 5_000;
