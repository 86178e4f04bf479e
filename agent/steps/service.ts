import { KhwError } from "../../proto/errors.ts";
import type { ApplyContext, Drift, Step } from "../../proto/step.ts";
import { componentFailure } from "../diagnose/failure.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";
import { dropInFolder, inputsDropIn, unitFile, unitFolder, wantsFolder } from "../paths.ts";
import { inputsVariable, renderInputsDropIn } from "../render/drop-in.ts";
import { foreignDropIns } from "./drop-ins.ts";
import { sha256 as digestOf, textDifference, textFile } from "./files.ts";
import { type ReadFile, startRecordOf, startDrift } from "./started-from.ts";

export interface WantedService {
  /** The unit's name, including the suffix. */
  readonly unit: string;
  /** The command line of the service's process, as in the unit; the program's path comes first. */
  readonly command: readonly [program: string, ...flags: string[]];
  /**
   * All inputs of the process, derived from the desired state alone. The environment of the process contains their
   * digest.
   */
  readonly inputs: readonly string[];
  /**
   * The input files, including the unit file. If a file differed from its desired content when the process started, the
   * step reports drift, even if the file has been restored since.
   */
  readonly reads?: readonly ReadFile[];
  /**
   * Flags that matter only for the first start with empty data. The argument after each flag is its value. A process is
   * not restarted if only the values of these flags differ.
   */
  readonly firstStartFlags?: readonly string[];
  readonly needs: readonly string[];
  /** Mount points that the service requires. */
  readonly mounts?: readonly string[];
  /** Whether core dumps are turned off for the service. Default: the lab's setting. */
  readonly coreDumpsOff?: boolean;
  /** Called before a running process is stopped. */
  readonly beforeStop?: (os: Os, context: ApplyContext) => Promise<void>;
  /** Called before the service is started or restarted, after `beforeStop`. */
  readonly beforeStart?: (os: Os, context: ApplyContext) => Promise<void>;
}

/**
 * Runs the service with exactly these inputs, and enables it so that it starts at boot.
 *
 * A drop-in puts the digest of the inputs into the environment of the process. The environment therefore shows which
 * inputs the process is running with. A separate record could become stale after a crash, or when systemd restarts the
 * process. The command line is compared too, because it is the only trace of a unit that was edited, loaded and changed
 * back. A start record shows what the input files contained when the process started.
 */
export function service(wanted: WantedService): Step<Os> {
  const { unit, command, reads = [], firstStartFlags = [], needs, beforeStop, beforeStart } = wanted;
  const { digest, text: dropIn } = renderInputs(wanted);
  const dropInPath = inputsDropIn(unit);

  /** Returns null if systemd would start exactly the desired service, now and at every boot. */
  const unitDrift = async ({ files }: Os, status: UnitStatus): Promise<string | null> => {
    if ((await files.sha256(dropInPath)) !== digestOf(dropIn)) return "its inputs have changed";
    if (status.needsReload) return "systemd has not loaded the current version of the unit";
    return status.unitFileState === "enabled" ? null : `it is ${status.unitFileState || "missing"}, not enabled`;
  };

  /** Returns null if the running process has the desired inputs; undefined if no process is running. */
  const processDrift = async ({ files, systemd }: Os, status: UnitStatus): Promise<string | null | undefined> => {
    const running = status.activeState === "active" ? await systemd.process(status.mainPid) : undefined;
    if (running === undefined) return undefined;
    if (running.environment[inputsVariable] !== `sha256:${digest}`)
      return "its inputs (release, unit, configuration or credentials) differ from the desired ones";
    const [flags, wantedFlags] = [running.argv, command].map((argv) => withoutValues(argv, firstStartFlags).join("\0"));
    if (flags !== wantedFlags) return "its flags differ from the flags in its unit";
    const program = await files.stat(command[0]);
    return program?.inode === running.inode && program.device === running.device
      ? null
      : `it is running a program other than ${command[0]}`;
  };

  return {
    id: `service/${unit.replace(/\.service$/, "")}`,
    title: `${unit} is enabled and running with the desired inputs`,
    needs,
    watches: [dropInFolder(unit), unitFolder, wantsFolder],
    text: ({ files }) => textDifference(files, dropInPath, dropIn),
    check: async (os): Promise<Drift | null> => {
      const status = await os.systemd.unit(unit);
      const shown = await processDrift(os, status);
      const process = shown === null ? await startDrift(os.files, unit, reads) : shown;
      const summary = (await unitDrift(os, status)) ?? process;
      if (summary === undefined)
        return { summary: `it is ${status.activeState} (${status.subState})`, process: "down" };
      if (summary === null) return null;
      return { summary, ...(typeof process === "string" && { process: "restart" }) };
    },
    apply: async (os, context) => {
      const { signal } = context;
      const { files, systemd } = os;
      if ((await files.sha256(dropInPath)) !== digestOf(dropIn)) {
        await files.mkdir(dropInFolder(unit), 0o755);
        await files.write(dropInPath, dropIn, 0o644);
      }
      // Enabling a unit also reloads it. A second reload would take several tenths of a second on a busy machine.
      if ((await systemd.unit(unit)).unitFileState === "enabled") await systemd.reload();
      else await systemd.enable(unit);
      const status = await systemd.unit(unit);
      const drift = await processDrift(os, status);
      if (drift === null && (await startDrift(files, unit, reads)) === null) return;
      const vain = typeof drift === "string" ? await inVain(os, unit, status) : null;
      if (vain !== null) throw vain;
      try {
        if (status.activeState === "active") await beforeStop?.(os, context);
        await beforeStart?.(os, context);
        if (status.activeState === "inactive" || status.activeState === "failed") await systemd.start(unit, signal);
        else await systemd.restart(unit, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof KhwError) || error.code !== "SERVICE_FAILED") throw error;
        throw (await crashLoop(os, unit)) ?? error;
      }
    },
    explain: async (os, drift) =>
      drift.process === "down" ? crashLoop(os, unit) : inVain(os, unit, await os.systemd.unit(unit)),
  };
}

function withoutValues(argv: readonly string[], flags: readonly string[]): string[] {
  return argv.filter((_, index) => !flags.includes(argv[index - 1] ?? ""));
}

/**
 * Writes only the drop-in with the digest of the service's inputs. If systemd starts the service later, the service
 * runs with the inputs that the service step requires.
 */
export function serviceInputs(wanted: WantedService): Step<Os> {
  const { unit, needs } = wanted;
  const id = `inputs/${unit.replace(/\.service$/, "")}`;
  return textFile({ id, path: inputsDropIn(unit), mode: 0o644, content: renderInputs(wanted).text, needs });
}

function renderInputs({ unit, inputs, reads = [], mounts, coreDumpsOff }: WantedService): {
  readonly digest: string;
  readonly text: string;
} {
  const digest = digestOf(JSON.stringify(coreDumpsOff === true ? [...inputs, "no core dumps"] : inputs));
  return { digest, text: renderInputsDropIn(digest, { record: startRecordOf(unit, reads), mounts, coreDumpsOff }) };
}

/** Returns the diagnosis of a unit that is in a crash loop or has failed; null if systemd reports no failure. */
async function crashLoop(os: Os, unit: string): Promise<KhwError | null> {
  const { activeState, subState, result } = await os.systemd.unit(unit);
  const ended = activeState === "failed" || subState.startsWith("auto-restart") || result !== "success";
  if (!ended) return null;
  const component = unit.replace(/\.service$/, "");
  const what = `does not stay up: it is ${activeState} (${subState}), and its last result is ${result}`;
  return componentFailure(os, { component, unit, what, code: "SERVICE_FAILED" });
}

/**
 * Returns an error if drop-ins that khw did not write cause the drift, because a restart would not remove it. These
 * drop-ins are the cause if the process started after the last change to its unit and drop-ins, but still does not run
 * as desired.
 */
async function inVain({ files, systemd }: Os, unit: string, { activeSince }: UnitStatus): Promise<KhwError | null> {
  const own = inputsDropIn(unit);
  const others = await foreignDropIns(files, unit, (await systemd.sources(unit)).dropIns);
  if (others.length === 0) return null;
  const changes = [own, unitFile(unit), ...others].map(async (path) => (await files.stat(path))?.changedAt ?? 0);
  if (Math.max(...(await Promise.all(changes))) >= activeSince) return null;
  return new KhwError("SERVICE_FAILED", `it does not run as desired because of ${others.join(", ")}`, {
    hint: `remove ${others.join(" and ")} on the node; set flags in khw.yaml instead`,
  });
}
