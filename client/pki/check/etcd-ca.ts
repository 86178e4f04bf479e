import type { X509Certificate } from "node:crypto";
import type { etcdCaCredentialNames } from "../../../proto/components.ts";
import {
  authoritiesIn,
  certificateIn,
  endsAtRoots,
  keyIn,
  type Pem,
  problem,
  sharesKey,
  type Trust,
  usable,
  validFor,
  type WantedName,
} from "./certificate.ts";
import type { Findings } from "./problem.ts";

type EtcdCaFile = (typeof etcdCaCredentialNames)[number];

interface EtcdCaContext extends Pick<Trust, "now" | "fieldsOf"> {
  /** The other authorities of the cluster. */
  readonly others: readonly X509Certificate[];
  /** The names and addresses of the etcd members. */
  readonly names: readonly WantedName[];
  /** Whether a rotation of etcd's CA is under way. During the rotation, etcd may also trust the cluster's CA. */
  readonly rotates: boolean;
}

/** Checks the files of etcd's own CA, if there are any. */
export function* etcdCaIsSound(
  pem: (file: EtcdCaFile) => Pem | undefined,
  { others, names, rotates, ...reading }: EtcdCaContext,
): Findings {
  const ca = pem("etcd-ca.pem");
  const authorities = ca === undefined ? [] : yield* authoritiesIn(ca, reading);
  if (ca !== undefined) yield* endsAtRoots(ca, authorities);
  if (ca !== undefined && !rotates) yield* differs(ca, authorities, others);
  const trust: Trust = { ...reading, authorities, rootFile: "etcd-ca.pem" };
  for (const name of ["etcd-server", "etcd-client"] as const) {
    const file = pem(`${name}.pem`);
    const found = file === undefined ? undefined : yield* certificateIn(file, trust);
    if (file !== undefined && found !== undefined) {
      const isServer = name === "etcd-server";
      const usages = isServer ? (["serverAuth", "clientAuth"] as const) : (["clientAuth"] as const);
      yield* usable(file, found, { usages, roots: authorities });
      if (isServer) yield* validFor(file, found.certificate, names);
    }
    const key = pem(`${name}-key.pem`);
    if (key !== undefined) yield* keyIn(key, found?.certificate, `${name}.pem`);
  }
}

/**
 * Checks that no other CA of the cluster has the same key. Otherwise, every certificate of that CA would give access to
 * etcd.
 */
function* differs(pem: Pem, authorities: readonly X509Certificate[], others: readonly X509Certificate[]): Findings {
  if (!sharesKey(authorities, others)) return;
  yield problem(pem, "publicKey", {
    what: "is the key of another CA of the cluster, so every certificate that this CA issued gives full access to etcd",
    remedy: "restore etcd-ca.pem from the newest replaced-* folder beside it",
  });
}
