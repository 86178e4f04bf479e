import type { Step } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";

const unit = "nginx.service";

/** nginx is installed from the distribution. */
export function nginxPackage(): Step<Os> {
  return {
    id: "package/nginx",
    title: "nginx is installed",
    needs: ["identity"],
    check: async ({ packages }) =>
      (await packages.installed("nginx")) === undefined ? { summary: "is not installed" } : null,
    apply: async ({ packages }, context) => packages.install("nginx", context),
  };
}

/**
 * nginx runs, has read the files as they are now, and will run after a boot.
 *
 * It is reloaded, not restarted, so that whatever else it serves goes on; and since nginx overwrites its own environment
 * with its title, what it has read is told by time: its last start or reload came after the files' last change.
 */
export function nginxService(paths: readonly string[], needs: readonly string[]): Step<Os> {
  return {
    id: "service/nginx",
    title: "nginx is enabled and serves the health check's site",
    needs,
    check: async ({ files, systemd }) => {
      const status = await systemd.unit(unit);
      if (status.unitFileState !== "enabled")
        return { summary: `it is ${status.unitFileState || "not there"}, not enabled` };
      if (status.activeState !== "active") return { summary: `it is ${status.activeState} (${status.subState})` };
      const changes = await Promise.all(paths.map(async (path) => (await files.stat(path))?.changedAt ?? Infinity));
      return Math.max(...changes) <= status.stateSince ? null : { summary: "it has not read its site as it is now" };
    },
    apply: async ({ packages, systemd }, { signal }) => {
      await packages.testNginx(signal);
      await systemd.enable(unit);
      const { activeState } = await systemd.unit(unit);
      if (activeState === "active") await systemd.reloadService(unit, signal);
      else await systemd.restart(unit, signal);
    },
  };
}
