import compare from "semver/functions/compare.js";
import { type Component, components } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import { parseRelease } from "../../proto/release.ts";
import type { Step } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import { releasedProgram, releasesFolder } from "../paths.ts";

/** The components that must not be newer than the API server that they connect to. */
const clients = components.filter((component) => component !== "kube-apiserver");

/**
 * Adds steps that reverse the order of replacement when the components change to an older release. A controller manager
 * or scheduler that is newer than the desired release is stopped before the API server changes. The stopped component
 * starts again afterwards.
 */
export function stopNewerClients(steps: readonly Step<Os>[], { kubernetesVersion }: DesiredState): Step<Os>[] {
  const stops = clients.map((client) => stopNewer(client, kubernetesVersion));
  return insertBefore(steps, (id) => id === "service/kube-apiserver", stops);
}

/** Inserts steps before the first step that must wait for them. */
export function insertBefore(
  steps: readonly Step<Os>[],
  waits: (id: string) => boolean,
  inserted: readonly Step<Os>[],
): Step<Os>[] {
  const first = steps.findIndex(({ id }) => waits(id));
  if (first === -1) return [...steps];
  const ids = inserted.map(({ id }) => id);
  const waiting = steps.map((step) => (waits(step.id) ? { ...step, needs: [...step.needs, ...ids] } : step));
  return waiting.toSpliced(first, 0, ...inserted);
}

function stopNewer(component: Component, wanted: string): Step<Os> {
  const unit = `${component}.service`;
  return {
    id: `stopped/${component}`,
    title: `no ${component} newer than ${wanted} is running`,
    // Once these steps are complete, every process that systemd starts runs the desired release.
    needs: [`binary/${component}`, `unit/${component}`],
    check: async (os) => {
      const running = await runningRelease(component, os);
      if (running === undefined || compare(running, wanted) <= 0) return null;
      return { summary: `${running} is running, but the API server changes to ${wanted}`, process: "restart" };
    },
    apply: ({ systemd }, { signal }) => systemd.stop(unit, signal),
  };
}

/**
 * Returns the release of a component's running process. Returns undefined if no process is running, or if its program
 * does not belong to a release that khw installed. A program in /usr/local/bin has the same inode as the program in its
 * release's folder.
 */
async function runningRelease(component: Component, { files, systemd }: Os): Promise<string | undefined> {
  const { mainPid } = await systemd.unit(`${component}.service`);
  const running = mainPid === 0 ? undefined : await systemd.process(mainPid);
  if (running === undefined) return undefined;
  for (const version of await files.list(releasesFolder)) {
    if (parseRelease(version) === undefined) continue;
    const program = await files.stat(releasedProgram(version, component));
    if (program?.inode === running.inode && program.device === running.device) return version;
  }
  return undefined;
}
