import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { controllersOf, openCluster, type OpenCluster } from "../cluster/open.ts";
import { beginCaRotation, endCaRotation, readCaRotation, recordCaProgress } from "../cluster-ca/folder.ts";
import { caRotationFiles, newAuthorities, signedElsewhere } from "../cluster-ca/files.ts";
import { findOutside } from "../cluster-ca/outside.ts";
import { proveOnNodes } from "../cluster-ca/probe.ts";
import { proveRotation } from "../cluster-ca/prove-rotation.ts";
import { forgetOldCa, waitUntilPublished } from "../cluster-ca/published.ts";
import { type CaParts, rotateCa } from "../cluster-ca/rotate.ts";
import { refuseUnsuitable } from "../cluster-ca/unsuitable.ts";
import { clusterPki } from "../config/cluster-pki.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { whileHeld } from "../lock/mutex.ts";
import { replaceFiles } from "../pki/cluster/folder.ts";
import { completeFolder } from "../pki/folder.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { nodeDifferences } from "../rollout/differences.ts";
import { type Prepared, prepare } from "../rollout/plan.ts";
import { roll } from "../rollout/rolling-update.ts";
import { refuseOtherRotation, rotationFolders } from "../rotations/under-way.ts";
import { requestToken, signedAt } from "../service-accounts/probe.ts";
import type { Context } from "../terminal/context.ts";
import { openPublicApi } from "../verify/verification.ts";

export interface RotateCaCommandOptions {
  readonly output: Output;
  /** Whether every client outside of khw trusts both CAs. */
  readonly reissue: boolean;
  /** Whether every certificate outside of khw has been replaced. */
  readonly dropOld: boolean;
  /** Whether to leave a failed node as it is, for inspection. */
  readonly noRollback: boolean;
}

/** Replaces the cluster's CA; see `rotateCa`. Returns exit code 0, or throws an error. */
export async function pkiRotateCa(
  config: ClusterConfig,
  context: Context,
  options: RotateCaCommandOptions,
): Promise<number> {
  const { folder } = config.credentials;
  refuseUnsuitable(config);
  return whileHeld(join(folder, "rotation"), async () => {
    await completeFolder(folder);
    await refuseOtherRotation(rotationFolders(config), "cluster-ca");
    await using cluster = await openCluster(config, context.signal);
    const parts = await caParts(cluster, context, options);
    await rotateCa(parts, options);
    return 0;
  });
}

async function caParts(
  cluster: OpenCluster,
  context: Context,
  { output, noRollback }: RotateCaCommandOptions,
): Promise<CaParts> {
  const { config, members } = cluster;
  const { folder } = config.credentials;
  const { signal } = context;
  const progress = await openProgress(output, context);
  const note = (text: string): void => progress.emit({ kind: "note", text });
  const goOn = (): void => {
    if (signal.aborted) throw new KhwError("CANCELLED", "stopped", { hint: "run the command again to continue" });
  };
  const prepared = (): Promise<Prepared> =>
    prepare(cluster, { signal, mayCreateAddress: false, newCredentials: "refuse" });
  const openApi = async () => openPublicApi(await prepared());
  const pki = async () =>
    clusterPki(config, { controllers: controllersOf(cluster), publicAddress: (await prepared()).publicAddress });
  const ownCa = (): Promise<string> => readFile(join(folder, "ca.pem"), "utf8");
  return {
    read: () => readCaRotation(folder),
    differences: () => nodeDifferences(cluster, signal),
    begin: async () => {
      const authorities = await newAuthorities(folder, await pki(), new Date());
      // An agent that cannot make this check is found before anything changes.
      const check = { authority: authorities.old, ca: await ownCa(), expected: "accepted", signal } as const;
      await proveOnNodes(members, check);
      await beginCaRotation(folder, authorities);
      note(`the new CA is created; the stages of the rotation are kept in ${folder}`);
    },
    write: async (stage, rotation) => {
      const files = await caRotationFiles(folder, stage, { rotation, pki: await pki(), now: new Date() });
      goOn();
      const kept = await replaceFiles(folder, files, new Date());
      note(`${Object.keys(files).join(", ")} in ${folder}: written; the previous version is kept in ${kept}`);
    },
    record: (latest) => recordCaProgress(folder, latest),
    roll: async () => void (await roll(cluster, { context, progress, noRollback })),
    publish: async () => {
      const api = await openApi();
      await waitUntilPublished(api, await ownCa(), signal);
      return signedAt(await requestToken(api, signal)).toISOString();
    },
    prove: async (rotation, expected) => {
      const proven = await proveRotation(members, { rotation, expected, ca: await ownCa(), signal });
      for (const line of proven) note(line);
    },
    outside: async ({ old, next, progress: { trustedSince } }) =>
      findOutside(await openApi(), { old, next, since: new Date(trustedSince ?? Date.now()), signal }),
    foreign: ({ old }) => signedElsewhere(folder, old),
    forget: async ({ old }) => {
      if (await forgetOldCa(await openApi(), old.certificate, signal))
        note("the old CA is removed from the ConfigMap kube-system/extension-apiserver-authentication");
    },
    end: async () => {
      const kept = await endCaRotation(folder, new Date());
      note(`the old CA is kept in ${kept}; remove it with the other replaced-* folders in ${folder}`);
    },
    note,
  };
}
