import { type DesiredState, hasEtcd } from "../../../proto/desired.ts";
import { KhwError } from "../../../proto/errors.ts";
import { applySteps, planSteps, type Step } from "../../../proto/step.ts";
import { refuse } from "../../../proto/validate.ts";
import type { Os } from "../../os/os.ts";
import { type KeptState, openKeptState } from "../../state/desired-state.ts";

/** Installs the Kubernetes release that fits a snapshot, while the control plane is stopped for a restore. */
export interface RestoredRelease {
  /**
   * Checks in advance that nothing can prevent the installation.
   * @throws KhwError PREFLIGHT_FAILED
   */
  check(desired: DesiredState): Promise<void>;
  /**
   * Stores the desired state for the restore, unless it is stored already. The stored state is durable when the promise
   * resolves.
   */
  store(restoreId: string, desired: DesiredState): Promise<void>;
  /**
   * Installs the programs, units and configuration of the stored desired state, and keeps the machine in this state
   * from now on. Starts no service. Does nothing if this work is already done.
   * @throws KhwError NO_STATE if the stored state cannot be read; the error of the failed step
   */
  install(restoreId: string): Promise<void>;
  /** Removes the stored desired state, which contains keys. Does nothing if no desired state is stored. */
  forget(): Promise<void>;
}

export interface RestoredReleaseOptions {
  readonly os: Os;
  /** The agent's own state folder. */
  readonly folder: string;
  readonly keptState: Pick<KeptState, "save">;
  /** All steps for a desired state. */
  readonly steps: (desired: DesiredState) => Step<Os>[];
  /** The steps that install a release without starting any service. */
  readonly installSteps: (desired: DesiredState) => Step<Os>[];
  readonly signal: AbortSignal;
}

const name = "restore-target";

export async function openRestoredRelease(options: RestoredReleaseOptions): Promise<RestoredRelease> {
  const { os, folder, keptState, steps, installSteps, signal } = options;
  let stored = await openKeptState(os.files, { folder, name });
  return {
    check: async (desired) => {
      if (!hasEtcd(desired)) refuse("desired.etcd", "is missing: khw does not manage etcd here");
      const needed = installSteps(desired).filter(({ id }) => id === "identity" || id.startsWith("release/"));
      // The restore leaves etcd's settings unchanged, so a later repair would restart etcd if they differ.
      const etcd = steps(desired).filter(({ id }) => id === "service/etcd");
      const planned = await planSteps([...needed, ...etcd], os, signal);
      for (const { step, drift, error } of planned) {
        if (error !== null) throw error;
        if (drift === null || (step.id === "service/etcd" && drift.process !== "restart")) continue;
        throw unready(step.id, drift.summary);
      }
    },
    store: async (restoreId, desired) => {
      if (stored.current()?.operationId !== restoreId) await stored.save(restoreId, desired);
    },
    install: async (restoreId) => {
      const kept = stored.current();
      if (kept?.operationId !== restoreId) {
        throw new KhwError("NO_STATE", stored.damage() ?? `${folder}/${name} is missing`, {
          hint: "run the same command again; it sends the desired state again",
        });
      }
      const results = await applySteps(installSteps(kept.desired), os, { signal, emit: () => {} });
      for (const result of results) if (result.outcome === "failed") throw result.error;
      await keptState.save(restoreId, kept.desired);
    },
    forget: async () => {
      if (stored.current() === undefined && stored.damage() === undefined) return;
      await os.files.remove(`${folder}/${name}`);
      stored = await openKeptState(os.files, { folder, name });
    },
  };
}

function unready(step: string, difference: string): KhwError {
  if (step === "service/etcd") {
    return new KhwError("PREFLIGHT_FAILED", `etcd does not run with the desired settings: ${difference}`, {
      hint: "the restore must not change etcd: undo the change in khw.yaml (`khw-client diff` shows the difference)",
    });
  }
  return new KhwError("PREFLIGHT_FAILED", `${step.replace("release/", "")}: ${difference}`, {
    hint: "run the same command again; it downloads the programs before anything stops",
  });
}
