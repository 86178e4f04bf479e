/**
 * Lists the paths that the comparison ignores. For these paths, properties.ts checks other properties instead.
 * docs/crash-suite.md describes the properties.
 */
import type { Exception } from "./compare.ts";

export const exceptions: readonly Exception[] = [
  { path: /^var\/lib\/etcd\/.+/, free: "presence", why: "etcd's data" },
  { path: /^var\/log(\/.*)?$/, free: "presence", why: "logs" },
  { path: /^var\/cache(\/.*)?$/, free: "presence", why: "apt's caches" },
  { path: /^var\/lib\/apt\/.+/, free: "presence", why: "apt's lists of packages" },
  {
    path: /^var\/lib\/dpkg\/(status|available|diversions|statoverride|triggers\/.+)(-old)?$/,
    free: "presence",
    why: "dpkg's records",
  },
  { path: /^var\/backups(\/.*)?$/, free: "presence", why: "copies of dpkg's records" },
  { path: /^var\/lib\/systemd\/random-seed$/, free: "presence", why: "systemd's random seed, new at each boot" },
  { path: /^var\/lib\/systemd\/timers\/.+/, free: "presence", why: "the times at which systemd's timers last ran" },
  {
    path: /^var\/tmp\/systemd-private-.*/,
    free: "presence",
    why: "folders of units that are running, or were running before the power loss",
  },
  {
    path: /^var\/lib\/khw-agent\/snapshots(\/.+)?$/,
    free: "presence",
    why: "snapshots of etcd, with the time in their names",
  },
  {
    path: /^var\/lib\/khw-agent\/(audit|history|operation)$/,
    free: "content",
    why: "the agent's records of events, with their times",
  },
];

/** The exceptions for an upgraded cluster, where additional paths may differ. */
export const upgradeExceptions: readonly Exception[] = [
  ...exceptions,
  { path: /^var\/lib\/khw-agent\/upgrade$/, free: "content", why: "the record of the last upgrade, with its time" },
  {
    path: /^usr\/libexec\/kubernetes(\/.+)?$/,
    free: "presence",
    why: "a folder that kube-controller-manager creates on the first node where it becomes the leader",
  },
];

/** The exceptions for comparing a machine after a reset with `--purge` to the same machine before its bootstrap. */
export const resetExceptions: readonly Exception[] = [
  ...exceptions,
  {
    path: /^var\/lib\/khw-agent\/(audit|audit-refused|history)(\.1)?$/,
    free: "presence",
    why: "the agent's records since the reset",
  },
];

/** After a rolling update of several controllers, this file contains the time of the last drain. */
export const newDrain: readonly Exception[] = [
  { path: /^var\/lib\/khw-agent\/maintenance$/, free: "content", why: "the time of the last drain" },
];

/** This file contains the ID of a new etcd member, which etcd derives from the time. */
export const newMember: readonly Exception[] = [
  { path: /^var\/lib\/khw-agent\/etcd-member$/, free: "content", why: "the new member's ID" },
];

/**
 * After each run of the command, these files contain new keys, or new signatures or digests that depend on the keys.
 */
export const newKeys: readonly Exception[] = [
  {
    path: /^(credentials|var\/lib\/kubernetes|etc\/etcd|etc\/kubernetes)\/.*(\.pem|\.kubeconfig|encryption-config\.yaml)$/,
    free: "content",
    why: "new keys, and the files that contain or sign them",
  },
  {
    path: /^credentials\/replaced-.+/,
    free: "presence",
    why: "copies of replaced files, with the time in their names",
  },
  {
    path: /^etc\/systemd\/system\/.+\.service\.d\/.+\.conf$/,
    free: "content",
    why: "the digests of the files that a component reads when it starts",
  },
  {
    path: /^run\/khw\/[^/]+\/started-from$/,
    free: "content",
    why: "the digests of the files that a component read when it last started",
  },
  { path: /^var\/lib\/khw-agent\/target$/, free: "content", why: "the desired state, with the files' digests" },
];

/** After each run of the command, these files contain new management identities. */
export const newManagementKeys: readonly Exception[] = [
  { path: /^(khw-pki|etc\/khw-agent\/pki)\/[^/]+$/, free: "content", why: "new management identities" },
  { path: /^khw-pki\/replaced-.+/, free: "presence", why: "copies of replaced files, with the time in their names" },
];

/** The workstation has no exceptions. */
export const workstationExceptions: readonly Exception[] = [];
