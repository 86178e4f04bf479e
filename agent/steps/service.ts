import { dirname } from "node:path";
import { sha256 as digestOf } from "./files.ts";
import type { Step } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import { inputsDropIn } from "../paths.ts";
import { inputsVariable, renderInputsDropIn } from "../render/drop-in.ts";

export interface WantedService {
  /** The unit, with its suffix. */
  readonly unit: string;
  readonly binary: string;
  /** All that the process is made from, from the desired state alone; their digest is the process's own. */
  readonly inputs: readonly string[];
  readonly needs: readonly string[];
}

/**
 * The service runs, from just these inputs, and will after a boot.
 *
 * The digest of its inputs goes into the process's environment by a drop-in, so what a process runs from is read off the
 * process itself: no record that a crash could leave behind, and a restart by systemd in between is seen as what it is.
 */
export function service({ unit, binary, inputs, needs }: WantedService): Step<Os> {
  const digest = digestOf(JSON.stringify(inputs));
  const dropIn = renderInputsDropIn(digest);
  const dropInPath = inputsDropIn(unit);
  /** Null when the process that runs is just the wanted one. */
  const processDrift = async ({ files, systemd }: Os): Promise<string | null> => {
    if ((await files.sha256(dropInPath)) !== digestOf(dropIn)) return "its inputs change";
    const status = await systemd.unit(unit);
    if (status.needsReload) return "systemd has not loaded its unit as it is on disk";
    if (status.activeState !== "active") return `it is ${status.activeState} (${status.subState})`;
    const running = await systemd.process(status.mainPid);
    if (running?.environment[inputsVariable] !== `sha256:${digest}`) return "it runs from other inputs";
    const program = await files.stat(binary);
    return program?.inode === running.inode && program.device === running.device
      ? null
      : `it runs another file than ${binary}`;
  };

  return {
    id: `service/${unit.replace(/\.service$/, "")}`,
    title: `${unit} is enabled and runs from the wanted inputs`,
    needs,
    check: async (os) => {
      const summary = await processDrift(os);
      if (summary !== null) return { summary };
      const { unitFileState } = await os.systemd.unit(unit);
      return unitFileState === "enabled" ? null : { summary: `it is ${unitFileState || "not there"}, not enabled` };
    },
    apply: async (os, { signal }) => {
      const { files, systemd } = os;
      const drift = await processDrift(os);
      if ((await files.sha256(dropInPath)) !== digestOf(dropIn)) {
        await files.mkdir(dirname(dropInPath), 0o755);
        await files.write(dropInPath, dropIn, 0o644);
      }
      await systemd.reload();
      await systemd.enable(unit);
      if (drift === null) return;
      const { activeState } = await systemd.unit(unit);
      if (activeState === "inactive" || activeState === "failed") await systemd.start(unit, signal);
      else await systemd.restart(unit, signal);
    },
  };
}
