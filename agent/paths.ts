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
export const etcdReleasesFolder = "/usr/local/lib/khw/etcd";
/** What the agent remembers of this machine's member, beside what it remembers of itself. */
export const etcdRecordFile = "/var/lib/khw-agent/etcd-member";
export const configFolder = "/etc/kubernetes/config";
export const unitFolder = "/etc/systemd/system";
export const nginxSite = "/etc/nginx/sites-available/kubernetes.default.svc.cluster.local";
export const nginxLink = "/etc/nginx/sites-enabled/kubernetes.default.svc.cluster.local";

/** Where systemd keeps what `systemctl enable` makes of the units. */
export const wantsFolder = `${unitFolder}/multi-user.target.wants`;
export const installedFolder = "/usr/local/bin";

/** Every installed release stays here for a way back; /usr/local/bin holds links to the inodes of the wanted one. */
export const releasesFolder = "/usr/local/lib/khw/kubernetes";

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

/** The drop-in through which a service carries the digest of its inputs. */
export function inputsDropIn(unit: string): string {
  return `${unitFolder}/${unit}.d/50-khw-inputs.conf`;
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
