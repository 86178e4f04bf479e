import { dirname } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import type { Drift, Step } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Os } from "../os/os.ts";
import { wantsFolder } from "../paths.ts";
import { recordAddedPackages } from "./added-packages.ts";

const unit = "nginx.service";

/** Installs the distribution's nginx package. */
export function nginxPackage(): Step<Os> {
  return {
    id: "package/nginx",
    title: "nginx is installed",
    needs: ["identity"],
    check: async ({ packages }) =>
      (await packages.installed("nginx")) === undefined ? { summary: "is not installed" } : null,
    apply: async ({ files, packages }, context) =>
      packages.install("nginx", { ...context, adding: (names) => recordAddedPackages(files, names) }),
  };
}

/**
 * Makes sure that nginx is running, has loaded the current files, and starts at boot.
 *
 * nginx is reloaded, not restarted, so that its other sites stay up. nginx overwrites its environment with the process
 * title. Unlike the environment of other services, nginx's environment therefore cannot hold a digest. Instead, the
 * check verifies that the last start or reload was later than the last change to the files.
 */
export function nginxService(paths: readonly string[], needs: readonly string[]): Step<Os> {
  return {
    id: "service/nginx",
    title: "nginx is enabled and serves the health-check site",
    needs,
    watches: [...paths.map((path) => dirname(path)), wantsFolder],
    check: async ({ files, systemd }): Promise<Drift | null> => {
      const { unitFileState, activeState, subState, stateSince } = await systemd.unit(unit);
      if (unitFileState !== "enabled") return { summary: `it is ${unitFileState || "missing"}, not enabled` };
      if (activeState !== "active") return { summary: `it is ${activeState} (${subState})`, process: "down" };
      const changes = await Promise.all(paths.map(async (path) => (await files.stat(path))?.changedAt ?? Infinity));
      return Math.max(...changes) <= stateSince ? null : { summary: "it has not loaded its current site" };
    },
    apply: async (os, { signal }) => {
      const { packages, systemd } = os;
      await packages.testNginx(signal);
      const { activeState, unitFileState } = await systemd.unit(unit);
      if (unitFileState !== "enabled") await systemd.enable(unit);
      if (activeState === "active") await reload(os, signal);
      else await systemd.restart(unit, signal);
    },
  };
}

/**
 * The time limit for nginx to replace its workers. If nginx cannot use a new configuration, for example because a port
 * is in use, the old workers keep running.
 */
const takeoverMillis = 10_000;
const lookMillis = 20;

/**
 * Reloads nginx. Resolves once the workers with the old configuration no longer accept connections. systemd reports the
 * reload as complete before that.
 */
async function reload(os: Os, signal: AbortSignal): Promise<void> {
  const { systemd, clock } = os;
  const { mainPid } = await systemd.unit(unit);
  const before = await workers(os, mainPid);
  await systemd.reloadService(unit, signal);
  await waitFor({
    what: "nginx is still serving its old site",
    check: async (): Promise<Look<void>> => {
      const serving = await workers(os, mainPid);
      const old = before.filter((pid) => serving.includes(pid));
      return old.length === 0 ? { reached: undefined } : { seen: `worker ${old.join(", ")}` };
    },
    deadlineMillis: takeoverMillis,
    intervalMillis: lookMillis,
    signal,
    clock,
    late: ({ seen }) =>
      new KhwError(
        "SERVICE_FAILED",
        `nginx is still serving its old site ${takeoverMillis / 1000} s after a reload (${seen})`,
        { hint: "see `journalctl --unit=nginx` and /var/log/nginx/error.log on the node" },
      ),
  });
}

/** Returns nginx's worker processes, except workers whose process title shows that they are shutting down. */
async function workers({ files, systemd }: Os, master: number): Promise<number[]> {
  const children = (await files.read(`/proc/${master}/task/${master}/children`))?.toString("utf8") ?? "";
  const pids = children.split(" ").filter(Boolean).map(Number);
  const titles = await Promise.all(pids.map(async (pid) => (await systemd.process(pid))?.argv.join(" ") ?? ""));
  return pids.filter(
    (_, index) => titles[index]?.startsWith("nginx: worker process") && !/shutting/.test(titles[index]),
  );
}
