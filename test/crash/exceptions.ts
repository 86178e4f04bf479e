/**
 * The named exceptions: the parts of a machine that are not compared. Instead, properties.ts checks their properties,
 * which docs/crash-suite.md describes.
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
  { path: /^var\/lib\/systemd\/random-seed$/, free: "presence", why: "systemd's own, new at each boot" },
  { path: /^var\/lib\/systemd\/timers\/.+/, free: "presence", why: "when systemd's timers last ran" },
  {
    path: /^var\/tmp\/systemd-private-.*/,
    free: "presence",
    why: "folders of units that run or ran before the plug was pulled",
  },
  { path: /^var\/lib\/khw-agent\/snapshots(\/.+)?$/, free: "presence", why: "snapshots of etcd, named after the time" },
  {
    path: /^var\/lib\/khw-agent\/(audit|history|operation)$/,
    free: "content",
    why: "the agent's records of what happened, and when",
  },
];

/** In a cluster that has been upgraded, these paths may also differ. */
export const upgradeExceptions: readonly Exception[] = [
  ...exceptions,
  { path: /^var\/lib\/khw-agent\/upgrade$/, free: "content", why: "the record of the last upgrade, with its time" },
  {
    path: /^usr\/libexec\/kubernetes(\/.+)?$/,
    free: "presence",
    why: "a folder that kube-controller-manager makes on the first node on which it becomes the leader",
  },
];

/** The workstation has no exceptions. */
export const workstationExceptions: readonly Exception[] = [];
