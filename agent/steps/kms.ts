import type { DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { KmsPlugin } from "../../proto/kms.ts";
import type { Drift, Step } from "../../proto/step.ts";
import { waitFor } from "../../proto/wait-for.ts";
import type { Os } from "../os/os.ts";

export const kmsStep = "kms/plugin";

/** The maximum time that a newly started plugin needs to create its socket. */
const socketMillis = 10_000;
const intervalMillis = 500;

/**
 * Checks that the KMS plugin of the API server is running. The plugin and its unit belong to the administrator, so a unit
 * that somebody has stopped is only reported. A unit that has failed is started again.
 */
export function kmsPlugin({ kms }: DesiredState): Step<Os>[] {
  if (kms === undefined) return [];
  const { unit, socket } = kms;
  return [
    {
      id: kmsStep,
      title: `the KMS plugin ${unit} is running and its socket ${socket} exists`,
      needs: ["identity"],
      check: (os) => kmsDrift(kms, os),
      apply: async (os, { signal, progress }) => {
        await os.systemd.resetFailed(unit);
        await os.systemd.start(unit, signal);
        await waitFor({
          what: `${socket} does not exist`,
          check: async () => {
            const drift = await kmsDrift(kms, os);
            return drift === null ? { reached: undefined } : { seen: drift.summary };
          },
          deadlineMillis: socketMillis,
          intervalMillis,
          signal,
          progress,
          clock: os.clock,
          late: ({ seen }) =>
            new KhwError("SERVICE_FAILED", `the KMS plugin does not start: ${seen}`, { hint: journal(unit) }),
        });
      },
    },
  ];
}

/**
 * Refuses to stop a running API server whose plugin does not work. The process has data keys in its memory, and can
 * still decrypt Secrets with these keys. A new process cannot decrypt Secrets without the plugin.
 * @throws KhwError NOT_READY with the plugin's fault and a remedy
 */
export async function refuseWithoutPlugin(kms: KmsPlugin | undefined, os: Os): Promise<void> {
  const drift = kms === undefined ? null : await kmsDrift(kms, os);
  if (kms === undefined || drift === null) return;
  const message = `kube-apiserver is not restarted, because it would lose its data keys: ${drift.summary}`;
  throw new KhwError("NOT_READY", message, { hint: kmsRemedy(kms, drift) });
}

/** Returns the action that makes the plugin work again. */
export function kmsRemedy({ unit }: KmsPlugin, { remedy }: Drift): string {
  return remedy ?? `on the node: systemctl reset-failed ${unit} && systemctl start ${unit}`;
}

/** Returns why the API server cannot use the plugin; null if the unit is running and the socket exists. */
export async function kmsDrift({ unit, socket }: KmsPlugin, { systemd, files }: Os): Promise<Drift | null> {
  const { loadState, activeState, result } = await systemd.unit(unit);
  if (loadState === "not-found") {
    return {
      summary: `the unit ${unit} of the KMS plugin does not exist, so nothing creates ${socket}`,
      remedy: `install the KMS plugin and its unit ${unit} on the node, or correct encryption.kms.unit in khw.yaml`,
    };
  }
  if (loadState === "masked") {
    const summary = `the unit ${unit} of the KMS plugin is masked`;
    return { summary, remedy: `on the node: systemctl unmask ${unit} && systemctl start ${unit}` };
  }
  if (activeState === "failed") return { summary: `the KMS plugin ${unit} has failed (${result})` };
  if (activeState === "inactive" || activeState === "deactivating") {
    const summary = `the KMS plugin ${unit} is ${activeState}, so ${socket} does not work`;
    return { summary, remedy: `on the node: systemctl start ${unit}` };
  }
  const found = await files.stat(socket);
  if (found === undefined)
    return { summary: `the socket ${socket} of the KMS plugin ${unit} does not exist`, remedy: journal(unit) };
  if (found.kind === "file" || found.kind === "directory") {
    const remedy = `make the KMS plugin create its socket at this path, or correct encryption.kms.socket in khw.yaml`;
    return { summary: `${socket} is a ${found.kind}, not the socket of the KMS plugin ${unit}`, remedy };
  }
  return null;
}

function journal(unit: string): string {
  return `on the node: journalctl -u ${unit}; compare the plugin's path with encryption.kms.socket in khw.yaml`;
}
