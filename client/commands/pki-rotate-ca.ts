import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { controllersOf } from "../cluster/open.ts";
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
import { type RotationOptions, type RotationSession, whileRotating } from "../rotations/session.ts";
import { requestToken, signedAt } from "../service-accounts/probe.ts";
import type { Context } from "../terminal/context.ts";
import { openPublicApi } from "../verify/verification.ts";

export interface RotateCaCommandOptions extends RotationOptions {
  /** Whether every client outside of khw trusts both CAs. */
  readonly reissue: boolean;
  /** Whether every certificate outside of khw has been replaced. */
  readonly dropOld: boolean;
}

/** Replaces the cluster's CA; see `rotateCa`. Returns exit code 0, or throws an error. */
export async function pkiRotateCa(
  config: ClusterConfig,
  context: Context,
  options: RotateCaCommandOptions,
): Promise<number> {
  refuseUnsuitable(config);
  await whileRotating("cluster-ca", { config, context, ...options }, (session) =>
    rotateCa(caParts(session, context.signal), options),
  );
  return 0;
}

function caParts(session: RotationSession, signal: AbortSignal): CaParts {
  const { cluster, note, prepared } = session;
  const { config, members } = cluster;
  const { folder } = config.credentials;
  const openApi = async () => openPublicApi(await prepared());
  const pki = async () =>
    clusterPki(config, { controllers: controllersOf(cluster), publicAddress: (await prepared()).publicAddress });
  const ownCa = (): Promise<string> => readFile(join(folder, "ca.pem"), "utf8");
  return {
    read: () => readCaRotation(folder),
    differences: session.differences,
    begin: async () => {
      const authorities = await newAuthorities(folder, await pki(), new Date());
      // An agent that cannot make this check is found before anything changes.
      const check = { authority: authorities.old, ca: await ownCa(), expected: "accepted", signal } as const;
      await proveOnNodes(members, check);
      await beginCaRotation(folder, authorities);
      note(`the new CA is created; the stages of the rotation are kept in ${folder}`);
    },
    write: async (stage, rotation) =>
      session.replace(await caRotationFiles(folder, stage, { rotation, pki: await pki(), now: new Date() })),
    record: (latest) => recordCaProgress(folder, latest),
    roll: session.roll,
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
