import type { CredentialName, Program } from "../proto/components.ts";
import type { EtcdCredential, EtcdProgram } from "../proto/etcd.ts";

/** Where things are on a controller: the lab's places, and khw's own. */
export const kubernetesFolder = "/var/lib/kubernetes";
/** Where lab 07 puts the certificates of an etcd on the same machine. */
export const etcdFolder = "/etc/etcd";
export const etcdDataFolder = "/var/lib/etcd";
/** Where etcd itself keeps its member's data: there when, and only when, the member was started once. */
export const etcdMemberFolder = `${etcdDataFolder}/member`;
export const etcdctlProgram = "/usr/local/bin/etcdctl";
/** Holds the releases of everything that khw downloads. */
export const khwFolder = "/usr/local/lib/khw";
export const etcdReleasesFolder = `${khwFolder}/etcd`;
/** What the agent remembers of this machine's member, beside what it remembers of itself. */
export const etcdRecordFile = "/var/lib/khw-agent/etcd-member";
export const kubernetesEtcFolder = "/etc/kubernetes";
export const configFolder = `${kubernetesEtcFolder}/config`;
export const unitFolder = "/etc/systemd/system";
export const nginxSite = "/etc/nginx/sites-available/kubernetes.default.svc.cluster.local";
export const nginxLink = "/etc/nginx/sites-enabled/kubernetes.default.svc.cluster.local";

/** Where systemd keeps what `systemctl enable` makes of the units. */
export const wantsFolder = `${unitFolder}/multi-user.target.wants`;
export const installedFolder = "/usr/local/bin";

/** Every installed release stays here for a way back; /usr/local/bin holds links to the inodes of the wanted one. */
export const releasesFolder = `${khwFolder}/kubernetes`;

export function credentialFile(name: CredentialName): string {
  return `${kubernetesFolder}/${name}`;
}

export function etcdFile(name: EtcdCredential): string {
  return `${etcdFolder}/${name}`;
}

export function installedProgram(program: Program | EtcdProgram): string {
  return `${installedFolder}/${program}`;
}

export function releasedProgram(version: string, program: Program): string {
  return `${releasesFolder}/${version}/${program}`;
}

export function releaseFolder(version: string): string {
  return `${releasesFolder}/${version}`;
}

export function etcdReleaseFolder(version: string): string {
  return `${etcdReleasesFolder}/${version}`;
}

/** Where the agent remembers, and where its identity is, as long as its configuration names no other place. */
export const stateFolder = "/var/lib/khw-agent";
export const snapshotsFolder = `${stateFolder}/snapshots`;
export const pkiFolder = "/etc/khw-agent/pki";

export function unitFile(unit: string): string {
  return `${unitFolder}/${unit}`;
}

export function dropInFolder(unit: string): string {
  return `${unitFile(unit)}.d`;
}

/** The drop-in through which a service carries the digest of its inputs. */
export function inputsDropIn(unit: string): string {
  return `${dropInFolder(unit)}/50-khw-inputs.conf`;
}

/** Keeps a unit from starting while etcd is restored. It comes after every other: a later drop-in can take a condition back. */
export function restoringDropIn(unit: string): string {
  return `${dropInFolder(unit)}/90-khw-restoring.conf`;
}

/** Below /run: where a service writes down what it was started from; systemd empties it with each end of its process. */
export function startFolder(unit: string): string {
  return `khw/${unit.replace(/\.service$/, "")}`;
}
export const startFile = "started-from";

/** Keeps systemd from starting a member of etcd whose data is gone. */
export const etcdGuardDropIn = `${unitFolder}/etcd.service.d/40-khw-member.conf`;
/** There while a member joins the cluster anew; it comes after the guard, which it takes back. */
export const etcdJoinDropIn = `${unitFolder}/etcd.service.d/60-khw-join.conf`;

/** Every drop-in that khw itself may give a unit. */
export function ownDropIns(unit: string): string[] {
  const ofAll = [inputsDropIn(unit), restoringDropIn(unit)];
  return unit === "etcd.service" ? [...ofAll, etcdGuardDropIn, etcdJoinDropIn] : ofAll;
}
