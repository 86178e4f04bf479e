import type { ApplyContext, Step } from "../../proto/step.ts";
import { stopUnit } from "../etcd/restore/services.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { dropInFolder, ownDropIns, unitFile } from "../paths.ts";
import { isRemovable } from "./absent.ts";

/** Stops a service, and keeps systemd from starting it at boot. */
export function stopped(
  service: string,
  needs: readonly string[],
  beforeStop?: (os: Os, context: ApplyContext) => Promise<void>,
): Step<Os> {
  const unit = `${service}.service`;
  return {
    id: `stopped/${service}`,
    title: `${service} is stopped and disabled`,
    needs,
    check: async ({ systemd }) => {
      const { activeState, unitFileState, subState } = await systemd.unit(unit);
      if (activeState !== "inactive") return { summary: `it is ${activeState} (${subState})` };
      return unitFileState === "enabled" ? { summary: "it is enabled" } : null;
    },
    apply: async (os, context) => {
      const { systemd } = os;
      await systemd.disable(unit);
      if ((await systemd.unit(unit)).activeState === "active") await beforeStop?.(os, context);
      await stopUnit(unit, systemd, context.signal);
      await systemd.resetFailed(unit);
    },
  };
}

/** Removes a unit together with khw's drop-ins for the unit. Keeps drop-ins that khw did not write. */
export function unitIsGone(service: string, needs: readonly string[]): Step<Os> {
  const unit = `${service}.service`;
  const paths = [...ownDropIns(unit), unitFile(unit)];
  const folder = dropInFolder(unit);
  const isThere = async (files: Files): Promise<boolean> => {
    const facts = await Promise.all(paths.map((path) => files.stat(path)));
    return facts.some((fact) => fact !== undefined) || (await isRemovable(files, folder));
  };
  return {
    id: `unit/${service}`,
    title: `the unit of ${service} is removed`,
    needs,
    check: async ({ files, systemd }) => {
      if (await isThere(files)) return { summary: `${unitFile(unit)} must be removed, with its drop-ins` };
      return (await systemd.unit(unit)).needsReload ? { summary: "systemd has not noticed the removal" } : null;
    },
    apply: async ({ files, systemd }) => {
      for (const path of paths) await files.remove(path);
      if (await isRemovable(files, folder)) await files.remove(folder);
      await systemd.reload();
    },
  };
}
