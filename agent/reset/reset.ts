import { formatError, KhwError, toKhwError } from "../../proto/errors.ts";
import { HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import { ResetResponse, type ResetRequest } from "../../proto/gen/khw/agent/v1/removal.ts";
import { applySteps, type Step } from "../../proto/step.ts";
import { createHeldMachine } from "../etcd/restore/hold.ts";
import type { History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import {
  addedPackagesFile,
  etcdMemberFolder,
  etcdRecordFile,
  etcdReleasesFolder,
  khwFolder,
  unitFile,
} from "../paths.ts";
import type { KeptState } from "../state/desired-state.ts";
import { busy, type MachineLock } from "../state/machine-lock.ts";
import { type ResetRecord, openResetRecord } from "./record.ts";
import { refuseLostQuorum, refuseOther, refuseOtherMembers } from "./refusals.ts";
import { resetSteps } from "./steps.ts";

/** Undoes a bootstrap of this machine. */
export interface Resetter {
  /**
   * Undoes everything, and then requests a restart of the agent, which clears the agent's state. A second call waits
   * for the running reset. With `checkOnly`, only checks whether a reset would be refused.
   * @throws KhwError BUSY; IDENTITY_MISMATCH or WOULD_INTERRUPT, before anything is changed; the error of a step that
   * failed
   */
  reset(request: ResetRequest, holder: string): Promise<ResetResponse>;
  /**
   * Starts the removal of the agent's package.
   * @throws KhwError OUT_OF_ORDER unless the machine has been reset
   */
  uninstall(options: { readonly purge: boolean }): Promise<void>;
}

export interface ResetterOptions {
  readonly os: Os;
  readonly folder: string;
  readonly keptState: KeptState;
  readonly machineLock: MachineLock;
  readonly history: History;
  readonly log: (line: string) => void;
  /** Makes the agent exit, so that systemd starts it again. */
  readonly restart: (reason: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Prepares resets of this machine. If an earlier agent process left a reset unfinished, the reset holds the machine
 * lock from now on. No repair can then restore anything that the reset has removed.
 */
export async function openResetter(options: ResetterOptions): Promise<Resetter> {
  const { os, folder, keptState, machineLock, history, log, restart, signal } = options;
  const record = await openResetRecord(os.files, folder);
  const machine = createHeldMachine(machineLock);
  const hold = ({ holder }: Pick<ResetRecord, "holder">): Promise<void> =>
    machine.take(`a reset of this machine that ${holder} began`);
  let current: ResetRecord | undefined = record.found;
  let running: Promise<ResetResponse> | undefined;
  // A damaged record also shows that a reset has begun.
  if (current !== undefined || record.damage() !== undefined) void hold(current ?? { holder: "an unknown caller" });

  const exists = async (paths: readonly string[]): Promise<boolean> =>
    (await Promise.all(paths.map((path) => os.files.stat(path)))).some((facts) => facts !== undefined);
  // A machine that was interrupted while it joined a cluster has only its downloaded programs.
  const traces = [etcdRecordFile, addedPackagesFile, khwFolder];
  const isSetUp = (): Promise<boolean> =>
    exists([`${folder}/target`, `${folder}/operation`, `${folder}/reset`, ...traces]);
  /** Whether the machine was interrupted while it joined a cluster, before it recorded its etcd member. */
  const wasJoining = async (): Promise<boolean> =>
    (await exists([etcdReleasesFolder])) && !(await exists([etcdMemberFolder, unitFile("etcd.service")]));
  const ownsEtcd = async (): Promise<boolean> =>
    keptState.current()?.desired.etcd !== undefined || (await exists([etcdRecordFile])) || (await wasJoining());

  const undo = async (steps: readonly Step<Os>[]): Promise<ResetResponse> => {
    const results = await applySteps(steps, os, { signal, emit: () => {} });
    const failed = results.find((result) => result.outcome === "failed");
    if (failed !== undefined) {
      const { message, hint, code, step } = failed.error;
      const rest = "the machine is partly reset: run the same command again";
      throw new KhwError(code, message, { step, hint: hint === undefined ? rest : `${hint}; ${rest}` });
    }
    const changes = steps.flatMap(({ title }, index) => (results[index]?.outcome === "changed" ? [title] : []));
    const left = results.flatMap((result) =>
      result.outcome === "reported" ? [`${result.drift.summary}: ${result.drift.remedy}`] : [],
    );
    return { changes, left };
  };

  /** Returns false if there is nothing to reset. */
  const check = async (request: ResetRequest): Promise<boolean> => {
    await refuseOther(request, os, keptState.current()?.desired);
    if (!(await isSetUp())) return false;
    if (current !== undefined) return true;
    const holder = machineLock.holder();
    if (holder !== undefined) throw busy(holder);
    if (request.wholeCluster) await refuseOtherMembers(os, request.clusterIps, signal);
    else await refuseLostQuorum(os, signal);
    return true;
  };

  const run = async (request: ResetRequest, holder: string): Promise<ResetResponse> => {
    if (!(await check(request))) return ResetResponse.fromPartial({});
    const begun: ResetRecord = current ?? {
      holder,
      begunUnixMillis: os.clock.now(),
      purge: request.purge,
      ownsEtcd: await ownsEtcd(),
      undone: false,
    };
    await hold(begun);
    const wanted = { ...begun, purge: request.purge };
    try {
      await record.write(wanted);
    } catch (error) {
      // Nothing has been changed if there is no record. No later call would release the machine lock.
      if (current === undefined) machine.release();
      throw error;
    }
    current = wanted;
    const entry = { kind: HistoryKind.HISTORY_KIND_OPERATION, subject: "reset" };
    history.append({ ...entry, message: `a reset was started by ${holder}` });
    log(`a reset was started by ${holder}`);
    try {
      const response = await undo(resetSteps(wanted));
      await record.write({ ...wanted, undone: true });
      history.append({ ...entry, message: `the machine was reset by ${holder}` });
      restart("the machine was reset");
      return response;
    } catch (thrown) {
      const cause = formatError(toKhwError(thrown));
      history.append({ ...entry, message: "the reset failed", cause, problem: true });
      log(`the reset failed: ${cause}`);
      throw thrown;
    }
  };

  return {
    reset: async (request, holder) => {
      if (request.checkOnly) {
        await check(request);
        return ResetResponse.fromPartial({});
      }
      running ??= run(request, holder).finally(() => (running = undefined));
      return running;
    },
    uninstall: async ({ purge }) => {
      if (await isSetUp()) {
        throw new KhwError("OUT_OF_ORDER", "the agent was not removed, because this machine has not been reset", {
          hint: `run khw-client reset ${os.identity.name} first`,
        });
      }
      await os.packageFiles.beginRemoval("khw-agent", { unit: "khw-agent-removal.service", purge, signal });
    },
  };
}
