import { configFolder } from "../proto/config-files.ts";
import type { CredentialName, Program } from "../proto/components.ts";
import type { EtcdCredential, EtcdProgram } from "../proto/etcd.ts";

/** The paths on a controller, from the labs and from khw itself. */
export const kubernetesFolder = "/var/lib/kubernetes";
/** The folder in which lab 07 puts the certificates of the controller's etcd member. */
export const etcdFolder = "/etc/etcd";
export const etcdDataFolder = "/var/lib/etcd";
/** The folder where etcd keeps its member's data. It exists only if the member has started at least once. */
export const etcdMemberFolder = `${etcdDataFolder}/member`;
export const etcdctlProgram = "/usr/local/bin/etcdctl";
export const etcdutlProgram = "/usr/local/bin/etcdutl";
/** Holds all releases that khw downloads. */
export const khwFolder = "/usr/local/lib/khw";
export const etcdReleasesFolder = `${khwFolder}/etcd`;
/** The agent's record of this machine's etcd member. It is stored in the agent's state folder. */
export const etcdRecordFile = "/var/lib/khw-agent/etcd-member";
export const kubernetesEtcFolder = "/etc/kubernetes";
export { configFolder };
export const schedulerConfigFile = `${configFolder}/kube-scheduler.yaml`;
export const unitFolder = "/etc/systemd/system";
export const nginxSite = "/etc/nginx/sites-available/kubernetes.default.svc.cluster.local";
export const nginxLink = "/etc/nginx/sites-enabled/kubernetes.default.svc.cluster.local";

/** The folder of the links that `systemctl enable` creates. */
export const wantsFolder = `${unitFolder}/multi-user.target.wants`;
export const installedFolder = "/usr/local/bin";

/**
 * Keeps every installed release, so that a rollback is possible. /usr/local/bin contains hard links to the programs of
 * the desired release.
 */
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

/** The default folders of the agent's state and identity. */
export const stateFolder = "/var/lib/khw-agent";
export const snapshotsFolder = `${stateFolder}/snapshots`;
/** Contains the agent's own packages. */
export const packagesFolder = `${stateFolder}/packages`;
/**
 * The package of the installed agent version. A failed upgrade rolls back to this package. `khw-client install` also
 * writes this file.
 */
export const keptPackage = `${packagesFolder}/kept.deb`;
/** A package that has been received but is not installed yet. */
export const receivedPackage = `${packagesFolder}/received.deb`;
/** Exists if a failed upgrade was rolled back to the previous package. */
export const rolledBackMark = `${packagesFolder}/rolled-back`;
export const pkiFolder = "/etc/khw-agent/pki";
/** The record of the packages that were installed together with nginx. */
export const addedPackagesFile = `${stateFolder}/added-packages`;

/** The record of the optional credentials that khw has written. Only some clusters have these credentials. */
export const optionalCredentialsRecord = `${stateFolder}/optional-credentials`;

/** The record of the configuration files that khw has written. khw removes only the files in this record. */
export const configFilesRecord = `${stateFolder}/config-files`;

export const nginxFolder = "/etc/nginx";
/** The paths that Debian's nginx package creates during its configuration, but never removes. */
export const webPaths = ["/var/www", "/var/www/html", "/var/www/html/index.nginx-debian.html"] as const;
/** The page that nginx's package copies to the last of the `webPaths`. */
export const nginxPage = "/usr/share/nginx/html/index.html";
/** The folder and the name of the API server's audit log, as in lab 08. */
export const logFolder = "/var/log";
export const auditLogFile = `${logFolder}/audit.log`;
/** The plugin folder that kube-controller-manager creates when it becomes the leader. */
export const pluginsFolder = "/usr/libexec/kubernetes";

export function unitFile(unit: string): string {
  return `${unitFolder}/${unit}`;
}

export function dropInFolder(unit: string): string {
  return `${unitFile(unit)}.d`;
}

/** Returns the path of the drop-in that contains the digest of a service's inputs. */
export function inputsDropIn(unit: string): string {
  return `${dropInFolder(unit)}/50-khw-inputs.conf`;
}

/**
 * Returns the path of the drop-in that keeps a unit from starting during a restore of etcd. Its name sorts last, so
 * that no later drop-in can remove its condition.
 */
export function restoringDropIn(unit: string): string {
  return `${dropInFolder(unit)}/90-khw-restoring.conf`;
}

/**
 * Returns the folder below /run where a service records its inputs at each start. systemd removes the folder when the
 * service stops.
 */
export function startFolder(unit: string): string {
  return `khw/${unit.replace(/\.service$/, "")}`;
}
export const startFile = "started-from";
/** The parent of all folders that `startFolder` returns. systemd keeps the parent when the services stop. */
export const runtimeFolder = "/run/khw";

/** Keeps systemd from starting an etcd member that has lost its data. */
export const etcdGuardDropIn = `${unitFolder}/etcd.service.d/40-khw-member.conf`;
/**
 * Exists while a member rejoins the cluster. The file name sorts after the guard's, because this drop-in removes the
 * guard's condition.
 */
export const etcdJoinDropIn = `${unitFolder}/etcd.service.d/60-khw-join.conf`;

/** Returns the paths of all drop-ins that khw may create for a unit. */
export function ownDropIns(unit: string): string[] {
  const ofAll = [inputsDropIn(unit), restoringDropIn(unit)];
  return unit === "etcd.service" ? [...ofAll, etcdGuardDropIn, etcdJoinDropIn] : ofAll;
}
