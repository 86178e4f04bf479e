import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { controllersOf } from "../cluster/open.ts";
import { describeCertificates, describeRest, describeSigningTrust, describeTrust } from "../cluster-ca/describe.ts";
import { etcdRotationFiles, newEtcdAuthorities } from "../cluster-ca/etcd-files.ts";
import {
  beginCaRotation,
  endCaRotation,
  lastCaRotation,
  readCaRotation,
  recordCaProgress,
} from "../cluster-ca/folder.ts";
import { caRotationFiles, newAuthorities, signedElsewhere } from "../cluster-ca/files.ts";
import { type CaKind, kinds, serversOf } from "../cluster-ca/kinds.ts";
import { findOutside, type Outside } from "../cluster-ca/outside.ts";
import { proveOnNodes } from "../cluster-ca/probe.ts";
import { proveRotation } from "../cluster-ca/prove-rotation.ts";
import { forgetOldCa, waitUntilPublished } from "../cluster-ca/published.ts";
import { type CaParts, rotateCa } from "../cluster-ca/rotate.ts";
import { newSigningAuthorities } from "../cluster-ca/signing-files.ts";
import { authorityFiles } from "../cluster-ca/stage.ts";
import { etcdCertificateLines, etcdClientLines } from "../cluster-ca/texts.ts";
import { refuseUnsuitable } from "../cluster-ca/unsuitable.ts";
import { clusterPki } from "../config/cluster-pki.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readIfPresent } from "../pki/rotation-folder.ts";
import { type RotationOptions, type RotationSession, whileRotating } from "../rotations/session.ts";
import { requestToken, signedAt } from "../service-accounts/probe.ts";
import type { Context } from "../terminal/context.ts";
import { openPublicApi } from "../verify/verification.ts";

export interface RotateCaCommandOptions extends RotationOptions {
  /** Whether every client outside of khw trusts both CAs. */
  readonly reissue: boolean;
  /** Whether every certificate outside of khw has been replaced. */
  readonly dropOld: boolean;
  readonly kind: CaKind;
}

/** Replaces a CA of the cluster; see `rotateCa`. Returns exit code 0, or throws an error. */
export async function pkiRotateCa(
  config: ClusterConfig,
  context: Context,
  options: RotateCaCommandOptions,
): Promise<number> {
  const { kind } = options;
  refuseUnsuitable(config, kind);
  // Before the first stage, the folder does not have the files that this setting requires.
  const current = kind === "etcd-ca" ? { ...config, pki: { ...config.pki, separateEtcdCa: false } } : config;
  await whileRotating(kind, { config: current, context, ...options }, (session) =>
    rotateCa(caParts(session, { kind, signal: context.signal }), options),
  );
  return 0;
}

interface PartsOptions {
  readonly kind: CaKind;
  readonly signal: AbortSignal;
}

const newCas = { "cluster-ca": newAuthorities, "etcd-ca": newEtcdAuthorities, "signing-ca": newSigningAuthorities };

function caParts(session: RotationSession, { kind, signal }: PartsOptions): CaParts {
  const { cluster, note, prepared } = session;
  const { config, members } = cluster;
  const { folder } = config.credentials;
  const openApi = async () => openPublicApi(await prepared());
  const pki = async () =>
    clusterPki(config, { controllers: controllersOf(cluster), publicAddress: (await prepared()).publicAddress });
  const ownCa = (): Promise<string> => readFile(join(folder, "ca.pem"), "utf8");
  const etcdCa = (): Promise<string | undefined> => readIfPresent(join(folder, "etcd-ca.pem"));
  /** Returns the servers to test, and the CAs that issue their certificates. */
  const proof = async () => {
    const own = await etcdCa();
    return { ca: `${await ownCa()}${own ?? ""}`, servers: serversOf(kind, own !== undefined), signal };
  };
  const outside = async ({ old, next, progress: { trustedSince } }: Parameters<CaParts["clients"]>[0]) =>
    findOutside(await openApi(), { old, next, since: new Date(trustedSince ?? Date.now()), signal });
  return {
    kind,
    read: () => readCaRotation(folder, kind),
    differences: session.differences,
    begin: async () => {
      const authorities = await newCas[kind](folder, await pki(), new Date());
      // Agents that cannot make this check are detected before anything changes.
      await proveOnNodes(members, { ...(await proof()), authority: authorities.old, expected: "accepted" });
      await beginCaRotation(folder, authorities, kind);
      note(`the new CA is created; the progress of the rotation is recorded in ${folder}`);
    },
    write: async (stage, rotation) => {
      const options = { rotation, pki: await pki(), now: new Date() };
      switch (kind) {
        case "cluster-ca":
          return session.replace(await caRotationFiles(folder, stage, options));
        case "etcd-ca":
          return session.replace(await etcdRotationFiles(folder, stage, options));
        case "signing-ca":
          return session.replace(authorityFiles(kinds[kind].file, stage, rotation));
      }
    },
    record: (latest) => recordCaProgress(folder, latest, kind),
    roll: session.roll,
    publish: async () => {
      if (kind !== "cluster-ca") return new Date().toISOString();
      const api = await openApi();
      await waitUntilPublished(api, await ownCa(), signal);
      return signedAt(await requestToken(api, { signal })).toISOString();
    },
    prove: async (rotation, expected) => {
      for (const line of await proveRotation(members, { ...(await proof()), rotation, expected })) note(line);
    },
    clients: async (rotation) => {
      if (kind === "etcd-ca") return etcdClientLines;
      const found = await outside(rotation);
      return kind === "signing-ca" ? describeSigningTrust(found) : describeTrust(found);
    },
    certificates: async (rotation) => {
      if (kind === "etcd-ca") return etcdCertificateLines;
      const foreign = kind === "signing-ca" ? [] : await signedElsewhere(folder, rotation.old);
      return describeCertificates(await outside(rotation), foreign);
    },
    rest: async (rotation) => (kind === "etcd-ca" ? [] : describeRest(ofKind(await outside(rotation), kind))),
    forget: async ({ old }) => {
      if (kind === "etcd-ca") return;
      if (await forgetOldCa(await openApi(), old.certificate, signal))
        note("the old CA is removed from the ConfigMap kube-system/extension-apiserver-authentication");
    },
    end: async () => {
      const kept = await endCaRotation(folder, new Date(), kind);
      note(`the old CA is kept in ${kept}; remove it with the other replaced-* folders in ${folder}`);
    },
    last: () => lastCaRotation(folder, kind),
    note,
  };
}

/** Kubelets do not verify their own clients with the signing CA, so no kubelet has the old signing CA. */
function ofKind(outside: Outside, kind: CaKind): Outside {
  return kind === "signing-ca" ? { ...outside, nodes: [] } : outside;
}
