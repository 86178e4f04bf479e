import { type Architecture, architectures, type CredentialName } from "./components.ts";
import { parseSnapshotPolicy, type SnapshotPolicy } from "./etcd-snapshots.ts";
import { parseEtcdVersion } from "./etcd-versions.ts";
import type * as wire from "./gen/khw/agent/v1/agent.ts";
import { parseMirror, parseSha256, refuse, show } from "./validate.ts";

/** The etcd members on the controllers. */
export interface Etcd {
  readonly version: string;
  /** Base URLs or absolute folders, tried in order. */
  readonly mirrors: readonly string[];
  /** The digest of the release's archive. */
  readonly sha256: Readonly<Partial<Record<Architecture, string>>>;
  /** Whether preflight reports a slow disk or network as an error, not only as a warning. */
  readonly strict: boolean;
  /**
   * Whether etcd's data must be on a dedicated disk. As long as the disk is not mounted, no member is created, started
   * or replaced.
   */
  readonly dedicatedDisk: boolean;
  /** Undefined: no automatic snapshots. */
  readonly snapshots: SnapshotPolicy | undefined;
}

/** The files that etcd shares with the API server if etcd uses the cluster's CA. Lab 07 copies them to /etc/etcd. */
const sharedFiles = { ca: "ca.pem", certificate: "kubernetes.pem", key: "kubernetes-key.pem" } as const;
const ownServerFiles = { ca: "etcd-ca.pem", certificate: "etcd-server.pem", key: "etcd-server-key.pem" } as const;
const ownClientFiles = { ca: "etcd-ca.pem", certificate: "etcd-client.pem", key: "etcd-client-key.pem" } as const;

/** The CA, the certificate and the key that an etcd member or a client of etcd uses. */
export interface EtcdFiles<Name extends CredentialName = CredentialName> {
  readonly ca: Name;
  readonly certificate: Name;
  readonly key: Name;
}

/** Returns the files that an etcd member reads. They are in /etc/etcd. */
export function etcdServerFiles(hasOwnCa: boolean): EtcdFiles<EtcdCredential> {
  return hasOwnCa ? ownServerFiles : sharedFiles;
}

/** Returns the files with which the API server and the agent call etcd. They are in /var/lib/kubernetes. */
export function etcdClientFiles(hasOwnCa: boolean): EtcdFiles {
  return hasOwnCa ? ownClientFiles : sharedFiles;
}

/** The files that can be in /etc/etcd. */
export const etcdCredentials = [...Object.values(sharedFiles), ...Object.values(ownServerFiles)] as const;

export type EtcdCredential = (typeof etcdCredentials)[number];

export type EtcdProgram = "etcd" | "etcdctl" | "etcdutl";

/**
 * Returns the programs that khw installs from an etcd release. etcdutl was introduced in 3.5. Since 3.6, only etcdutl
 * can restore snapshots: https://etcd.io/blog/2025/announcing-etcd-3.6/
 */
export function etcdPrograms(version: string): readonly EtcdProgram[] {
  const [, minor] = version.split(".");
  return Number(minor) < 5 ? ["etcd", "etcdctl"] : latestEtcdPrograms;
}

/** All programs that khw installs from any etcd release. */
export const latestEtcdPrograms = ["etcd", "etcdctl", "etcdutl"] as const satisfies EtcdProgram[];

export const etcdPorts = { client: 2379, peer: 2380 } as const;

/** @throws KhwError INVALID_ARGUMENT with the name of the field */
export function parseEtcd({ version, mirrors, sha256, strict, dedicatedDisk, snapshots }: wire.Etcd): Etcd {
  if (mirrors.length === 0) refuse("etcd.mirrors", "is empty");
  return {
    version: parseEtcdVersion("etcd.version", version),
    mirrors: mirrors.map((mirror) => parseMirror("etcd.mirrors", mirror)),
    sha256: Object.fromEntries(
      Object.entries(sha256).map(([name, digest]) => [
        parseArchitecture("etcd.sha256", name),
        parseSha256(`etcd.sha256.${name}`, digest),
      ]),
    ),
    strict,
    dedicatedDisk,
    snapshots: snapshots === undefined ? undefined : parseSnapshotPolicy("etcd.snapshots", snapshots),
  };
}

export function parseArchitecture(field: string, name: string): Architecture {
  return (
    architectures.find((architecture) => architecture === name) ??
    refuse(field, `${show(name)} is not an architecture that khw supports`, `use one of ${architectures.join(", ")}`)
  );
}

/** A machine with an etcd member. */
interface Peer {
  readonly internalIp: string;
}

export function peerUrl({ internalIp }: Peer): string {
  return `https://${internalIp}:${etcdPorts.peer}`;
}

export function clientUrl({ internalIp }: Peer): string {
  return `https://${internalIp}:${etcdPorts.client}`;
}
