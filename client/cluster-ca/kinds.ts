import type { RotatedCa } from "../pki/rotation-folder.ts";

/** The CAs in the credentials folder that khw can rotate. All rotations have the same stages. */
export type CaKind = "cluster-ca" | "etcd-ca" | "signing-ca";

export interface KindFacts {
  /** The CA's files in the credentials folder: FILE.pem and FILE-key.pem. */
  readonly file: RotatedCa;
  /** The CA, for notes. */
  readonly title: string;
  readonly command: string;
}

export const kinds: Readonly<Record<CaKind, KindFacts>> = {
  "cluster-ca": {
    file: "ca",
    title: "the cluster's CA",
    command: "khw-client pki rotate-ca",
  },
  "etcd-ca": {
    file: "etcd-ca",
    title: "etcd's CA",
    command: "khw-client pki rotate-etcd-ca",
  },
  "signing-ca": {
    file: "signing-ca",
    title: "the signing CA",
    command: "khw-client pki rotate-signing-ca",
  },
};

/**
 * The servers that khw tests with a client certificate from a CA. Agents use the same names in their reports.
 */
export type ProvenServer = "kube-apiserver" | "etcd" | "etcd-peer";

/** Returns the servers whose clients have certificates from this CA. */
export function serversOf(kind: CaKind, hasEtcdCa: boolean): readonly ProvenServer[] {
  switch (kind) {
    case "cluster-ca":
      return hasEtcdCa ? ["kube-apiserver"] : ["kube-apiserver", "etcd", "etcd-peer"];
    case "etcd-ca":
      return ["etcd", "etcd-peer"];
    case "signing-ca":
      return ["kube-apiserver"];
  }
}
