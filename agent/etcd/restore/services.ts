import { components } from "../../../proto/components.ts";
import { deadline } from "../../os/deadline.ts";
import { KhwError, toKhwError } from "../../../proto/errors.ts";
import { type Look, waitFor } from "../../../proto/wait-for.ts";
import type { EtcdMember } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { healthCheckOf } from "../../health/health.ts";
import type { Os } from "../../os/os.ts";
import type { Systemd } from "../../os/systemd.ts";
import { ready } from "../../steps/ready.ts";

const startMillis = 180_000;
const intervalMillis = 500;

/** Stops a unit if it is running. */
export async function stopUnit(unit: string, systemd: Systemd, signal: AbortSignal): Promise<void> {
  const { loadState, activeState } = await systemd.unit(unit);
  if (loadState !== "loaded" || activeState === "inactive") return;
  await systemd.stop(unit, signal);
}

export interface StartOptions {
  readonly os: Pick<Os, "systemd" | "clock">;
  /** Reads the status of this machine's member. */
  readonly member: (signal: AbortSignal) => Promise<EtcdMember>;
  readonly signal: AbortSignal;
}

/**
 * Starts etcd and waits until its member has a leader. The other members start at the same time, and may take
 * longer.
 */
export async function startEtcd({ os, member, signal }: StartOptions): Promise<EtcdMember> {
  const { systemd, clock } = os;
  let last = "it has not answered yet";
  const late = (): KhwError =>
    new KhwError("TIMEOUT", `etcd has no quorum after ${startMillis / 1000} s: ${last}`, {
      hint: "see `khw-client etcd status`, then run the same command again",
    });
  // The time limit also covers the start, because etcd reports its start to systemd only once it has a leader.
  using limit = deadline(signal, startMillis, late);
  await systemd.resetFailed("etcd.service");
  await systemd.start("etcd.service", limit.signal);
  return await waitFor({
    what: "etcd has no quorum",
    check: async (): Promise<Look<EtcdMember>> => {
      try {
        const now = await member(limit.signal);
        if (now.leaderId !== "") return { reached: now };
        last = "it has no leader";
      } catch (error) {
        limit.signal.throwIfAborted();
        last = toKhwError(error).message;
      }
      return { seen: last };
    },
    deadlineMillis: startMillis,
    intervalMillis,
    signal: limit.signal,
    clock,
    late,
  });
}

/** The API server's clients exit and restart if the API server does not answer within this time. */
const patienceMillis = 60_000;

/**
 * Starts the API server, controller manager and scheduler, if this machine has them. Their health is checked later,
 * because an unrelated problem with the API server must not keep the machine locked.
 */
export async function startKubernetes(os: Os, signal: AbortSignal): Promise<void> {
  const { systemd } = os;
  for (const component of components) {
    const unit = `${component}.service`;
    const { loadState, unitFileState } = await systemd.unit(unit);
    if (loadState !== "loaded" || unitFileState !== "enabled") continue;
    await systemd.resetFailed(unit);
    await systemd.start(unit, signal);
    if (component === "kube-apiserver") await readyOrNot(component, os, signal);
  }
}

async function readyOrNot(component: string, os: Os, signal: AbortSignal): Promise<void> {
  using limit = deadline(signal, patienceMillis, () => new KhwError("TIMEOUT", `${component} is not ready yet`));
  try {
    await ready(healthCheckOf(component), []).apply(os, { signal: limit.signal, progress: () => {} });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof KhwError)) throw error;
  }
}
