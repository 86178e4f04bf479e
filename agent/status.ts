import { programs } from "../proto/components.ts";
import { type Component, Health } from "../proto/gen/khw/agent/v1/agent.ts";
import { type HealthCheck, healthChecks, probeHealth } from "./health.ts";
import type { Os } from "./os/os.ts";
import { installedProgram, releasedProgram, releasesFolder } from "./paths.ts";

/** Every component as it is now. */
export function readComponents(os: Os, signal: AbortSignal): Promise<Component[]> {
  return Promise.all(healthChecks.map((check) => readComponent(check, os, signal)));
}

async function readComponent(check: HealthCheck, os: Os, signal: AbortSignal): Promise<Component> {
  const { component: name, unit } = check;
  const status = await os.systemd.unit(unit);
  const installed = status.loadState !== "not-found";
  const active = status.activeState === "active";
  const reason = active
    ? await probeHealth(check, os, signal)
    : `it is ${installed ? status.activeState : "not installed"}`;
  return {
    name,
    activeState: installed ? status.activeState : "not-found",
    subState: status.subState,
    enabled: status.unitFileState === "enabled",
    version: await installedVersion(name, os),
    pid: status.mainPid,
    sinceUnixMillis: active ? status.activeSince : 0,
    restarts: status.restarts,
    health: reason === null ? Health.HEALTH_HEALTHY : Health.HEALTH_UNHEALTHY,
    reason: reason ?? "",
    diagnosis: undefined,
    supervisedRestarts: 0,
    nextRestartUnixMillis: 0,
  };
}

/** The release whose inode the program in /usr/local/bin is; a package's version for what apt installed; empty for neither. */
async function installedVersion(name: string, { files, packages }: Os): Promise<string> {
  const program = programs.find((known) => known === name);
  if (program === undefined) return (await packages.installed(name)) ?? "";
  const installed = await files.stat(installedProgram(program));
  if (installed === undefined) return "";
  for (const version of await files.list(releasesFolder)) {
    const released = await files.stat(releasedProgram(version, program));
    if (released?.inode === installed.inode && released.device === installed.device) return version;
  }
  return "";
}
