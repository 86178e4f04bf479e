import { components, programs } from "../../proto/components.ts";
import type { Os } from "../os/os.ts";
import { installedProgram, unitFile } from "../paths.ts";

/**
 * Whether the machine has any part of a Kubernetes control plane: a program, a unit or a running service. Returns true
 * if in doubt, for example if a file cannot be examined. On a machine that has a control plane, all programs of the
 * control plane must change together.
 */
export async function hasControlPlane({ files, systemd }: Pick<Os, "files" | "systemd">): Promise<boolean> {
  const units = components.map((component) => `${component}.service`);
  const paths = [...programs.map(installedProgram), ...units.map(unitFile)];
  try {
    const found = await Promise.all(paths.map((path) => files.stat(path)));
    if (found.some((facts) => facts !== undefined)) return true;
    const known = await Promise.all(units.map((unit) => systemd.unit(unit)));
    return known.some(({ loadState, activeState }) => loadState !== "not-found" || activeState !== "inactive");
  } catch {
    return true;
  }
}
