import type { CaKind } from "./kinds.ts";

/** The notes that a rotation prints. */
export interface RotationTexts {
  /** Printed after the files of the stage "trusted" are written. */
  readonly trusting: string;
  /** Printed after every node has received the files of the stage "trusted". */
  readonly trusted: string;
  readonly reissuing: string;
  readonly reissued: string;
  readonly dropping: string;
  readonly done: string;
  /** The condition for `--reissue`. */
  readonly clients: string;
  /** The condition for `--drop-old`. */
  readonly certificates: string;
}

const certificates = "every certificate from the old CA is replaced";

export const rotationTexts: Readonly<Record<CaKind, RotationTexts>> = {
  "cluster-ca": {
    trusting: "ca.pem has both CAs; every node now gets both, so that it trusts certificates from the new CA",
    trusted: "every component trusts both CAs, and new pods get both",
    reissuing: "the certificates are reissued by the new CA; every node now gets its new certificates",
    reissued: "every component has a certificate from the new CA, and the new CA signs",
    dropping: "ca.pem has only the new CA; every node now stops trusting the old CA",
    done: "done: every API server and every etcd member refuses certificates from the old CA",
    clients: "every client trusts both CAs",
    certificates,
  },
  "etcd-ca": {
    trusting: "etcd-ca.pem has both CAs; every node now gets both, so that etcd trusts certificates from the new CA",
    trusted: "every etcd member and every API server trusts both CAs",
    reissuing: "etcd's certificates are reissued by the new CA; every node now gets its new certificates",
    reissued: "every etcd member and every API server has a certificate from the new CA",
    dropping: "etcd-ca.pem has only the new CA; every node now stops trusting the old CA",
    done: "done: every etcd member refuses certificates from the old CA, at its client port and at its peer port",
    clients: "every other client of etcd trusts both CAs",
    certificates: "every other client of etcd has a certificate from the new CA",
  },
  "signing-ca": {
    trusting: "signing-ca.pem has both CAs; every node now gets both, so that the API servers trust the new CA",
    trusted: "every API server trusts both CAs",
    reissuing: "the new CA signs; every controller manager now gets it",
    reissued: "every controller manager signs with the new CA",
    dropping: "signing-ca.pem has only the new CA; every node now stops trusting the old CA",
    done: "done: every API server refuses certificates from the old signing CA",
    clients: "every program that verifies certificates from the signing CA trusts both CAs",
    certificates,
  },
};

/**
 * The etcd clients that khw does not manage. They must trust both CAs before a member gets a certificate from the new
 * CA.
 */
export const etcdClientLines: readonly string[] = [
  "outside of khw: every other client of etcd (etcdctl, backups, monitoring) must trust both CAs (the new etcd-ca.pem), or it can no longer verify the members",
];

/** The certificates outside of khw that no member accepts after the old CA is dropped. */
export const etcdCertificateLines: readonly string[] = [
  "outside of khw: every other client of etcd (etcdctl, backups, monitoring) needs a certificate from the new CA, such as etcd-client.pem. After --drop-old, no member accepts certificates from the old CA",
];
