import { type Identity, issueIdentity } from "../certificate.ts";
import { identityFiles, type NewFiles } from "../folder.ts";
import type { KeyAlgorithm } from "../keys.ts";
import { etcdSubjects } from "../subjects.ts";
import { createClusterAuthority } from "./issue.ts";
import { authorityIn, pairIn, type PresentFiles } from "./present.ts";
import { presentNames } from "./rollable.ts";

/** The base name of the two files of etcd's own CA, NAME.pem and NAME-key.pem. */
export const etcdAuthority = "etcd-ca";
/** The certificates of etcd. All members share the first, and the API servers use the second as clients of etcd. */
export const etcdLeaves = ["etcd-server", "etcd-client"] as const;
export type EtcdLeaf = (typeof etcdLeaves)[number];

export function isEtcdLeaf(name: string): name is EtcdLeaf {
  return etcdLeaves.some((known) => known === name);
}

/** The settings for creating etcd's CA and its certificates. */
export interface EtcdPki {
  readonly algorithm: KeyAlgorithm;
  readonly days: number;
  readonly caDays: number;
  readonly cluster: { readonly controllers: readonly { readonly internalIp: string }[] };
}

/**
 * Creates the missing files of etcd's own CA in memory so that they match the existing files.
 * @throws KhwError CREDENTIAL_INVALID for existing files that do not belong together; otherwise as signCertificate does
 */
export async function createEtcdCa(present: PresentFiles, pki: EtcdPki, now: Date): Promise<NewFiles> {
  const toSign = etcdLeaves.filter((name) => pairIn(present, name) === undefined);
  const signed = etcdLeaves.filter((name) => !toSign.includes(name));
  const found = authorityIn(present, { name: etcdAuthority, toSign, signed, now });
  if (toSign.length === 0) return {};
  const { algorithm, caDays } = pki;
  const authority = found ?? (await createClusterAuthority("etcd", { algorithm, days: caDays }, now));
  return {
    ...(found === undefined ? identityFiles(etcdAuthority, authority) : {}),
    ...(await issueEtcdLeaves(authority, toSign, { present, pki, now })),
  };
}

/**
 * Creates new keys and certificates for etcd in memory. Returns no files if the folder does not contain a CA of etcd's
 * own.
 * @throws KhwError CREDENTIAL_INVALID if etcd's CA cannot sign
 */
export async function renewEtcdLeaves(
  present: PresentFiles,
  names: readonly EtcdLeaf[],
  { pki, now }: { readonly pki: EtcdPki; readonly now: Date },
): Promise<NewFiles> {
  const signed = names.filter((name) => present.has(`${name}.pem`));
  const authority = authorityIn(present, { name: etcdAuthority, toSign: names, signed, now });
  return authority === undefined ? {} : issueEtcdLeaves(authority, names, { present, pki, now });
}

interface EtcdIssueOptions {
  readonly present: PresentFiles;
  readonly pki: EtcdPki;
  readonly now: Date;
  /** The certificate that the etcd members have used as servers until now. */
  readonly served?: "etcd-server" | "kubernetes";
}

/**
 * Issues certificates for etcd. The members' new certificate keeps all names and addresses of their current
 * certificate, `served`.pem.
 */
export async function issueEtcdLeaves(
  authority: Identity,
  names: readonly EtcdLeaf[],
  { present, pki, now, served = "etcd-server" }: EtcdIssueOptions,
): Promise<NewFiles> {
  const { algorithm, days, cluster } = pki;
  const addresses = [
    ...cluster.controllers.map(({ internalIp }) => internalIp),
    "127.0.0.1",
    ...presentNames(present, `${served}.pem`),
  ];
  const issued = await Promise.all(
    names.map(async (name) => {
      const isServer = name === "etcd-server";
      const leaf = {
        subject: etcdSubjects[name],
        // A member is also a client of the other members.
        usages: isServer ? (["serverAuth", "clientAuth"] as const) : (["clientAuth"] as const),
        names: isServer ? [...new Set(addresses)] : [],
        days,
        algorithm,
      };
      return identityFiles(name, await issueIdentity(authority, leaf, { now, daysField: "pki.days" }));
    }),
  );
  return Object.assign({}, ...issued);
}
