import minor from "semver/functions/minor.js";
import { differences } from "../../proto/kubernetes-versions.ts";
import { canEmulate, minorBefore, minorName } from "../release/emulation.ts";
import { exactTime } from "../../proto/restore.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { RestoreCourse } from "./choose-restore.ts";
import type { Course } from "./course.ts";

/** The time to drain, change, check and undrain a node, measured in the testbed (docs/upgrades.md). */
export const secondsPerNode = 40;

export interface PathOptions {
  /** The nodes, in the order of the upgrade. */
  readonly nodes: readonly string[];
  /** The nodes that already run the new release. */
  readonly done: readonly string[];
  /** The etcd release before and after the upgrade; undefined if khw does not manage etcd. */
  readonly etcd: { readonly from: string; readonly to: string } | undefined;
  /** The minor release that the new programs emulate; undefined if they emulate none. */
  readonly emulated?: string | undefined;
  /** The minor release that running programs emulate; undefined if they emulate none. */
  readonly ended?: string | undefined;
  /** Whether all checks have run. */
  readonly checked: boolean;
}

/** Describes an upgrade before it begins: the releases, the changes, the order of nodes, and the expected time. */
export function describePath(course: Course, { nodes, done, etcd, emulated, ended, checked }: PathOptions): string[] {
  const { from, to, direction } = course;
  const left = nodes.filter((node) => !done.includes(node));
  const [first, ...others] = left;
  const order = [first, ...(others.length === 0 ? [] : [`then ${others.join(", ")}`])].filter(Boolean).join(", ");
  const seconds = left.length * secondsPerNode;
  return [
    `${direction === "back" ? "going back" : "upgrade"} from ${from} to ${to}: ${order}`,
    ...describeChanges(from, to),
    ...describeEmulation(course, { emulated, ended }),
    ...(etcd === undefined
      ? []
      : [etcd.from === etcd.to ? `etcd stays at ${etcd.to}` : `etcd: ${etcd.from} to ${etcd.to}`]),
    ...(checked
      ? [
          "checked: health, etcd's quorum, disks, clocks, certificates, the load balancer, kubelets, removed APIs, stored versions, " +
            "webhooks, and every program's flags with its new version",
        ]
      : []),
    `expected time: ${duration(seconds)} (${secondsPerNode} s for each node, as measured in the testbed)`,
  ];
}

function describeEmulation(
  { from, to, direction }: Course,
  { emulated, ended }: Pick<PathOptions, "emulated" | "ended">,
): string[] {
  if (emulated !== undefined) {
    return [
      `the programs emulate ${emulated}: they serve and store the same API versions as ${emulated} does, and upgrade --back stays possible; ` +
        `khw-client upgrade --to ${to} ends the emulation`,
    ];
  }
  if (direction === "back") return [];
  if (ended !== undefined) {
    return [`the programs stop emulating ${ended}: afterwards, you cannot roll back to ${ended}`];
  }
  return minor(to) > minor(from) && canEmulate(to)
    ? [
        `without --emulate, there is no way back to ${minorName(from)} after this upgrade; with --emulate, the new ` +
          `programs behave like ${minorBefore(to)} until you end the emulation`,
      ]
    : [];
}

/** Describes the differences introduced after the old release, up to and including the new release; one line each. */
export function describeChanges(from: string, to: string): string[] {
  const [a, b] = [minor(from), minor(to)].toSorted((x, y) => x - y);
  return differences
    .filter((row) => row.from > (a ?? 0) && row.from <= (b ?? 0))
    .map((row) => {
      switch (row.kind) {
        case "scheduler-config":
          return `changes with the release: kube-scheduler.yaml uses ${row.apiVersion} (${row.why})`;
        case "flag-gone":
          return `changes with the release: ${row.component} runs without --${row.flag} (${row.why})`;
      }
    });
}

export interface LossOptions {
  readonly nodes: readonly string[];
  /** The current revision of etcd; 0 if no member answers. */
  readonly revision: number;
}

/**
 * Describes a restore to an older release, before the restore begins: the work, the lost data, and the data that is
 * kept.
 */
export function describeLoss(course: RestoreCourse, options: LossOptions): string[] {
  const { from, to, etcd, stage } = course;
  const { snapshot } = course.snapshot;
  const { nodes, revision } = options;
  const later = revision - snapshot.revision;
  const count = later > 0 ? ` (${later} changes in etcd, including heartbeats)` : "";
  return [
    `going back from ${from} to ${to} with the data of ${exactTime(snapshot.takenUnixMillis)}: ${nodes.join(", ")}, all at the same time`,
    `everything written since then will be lost${count}`,
    ...describeChanges(from, to),
    `etcd stays at ${etcd}; each node keeps its current data in a folder of its own`,
    "Secrets in the snapshot can be read only if encryption-config.yaml still has the keys that were in use at that time",
    stage === "continue"
      ? "the restore has begun already; this command continues it"
      : "checked: the programs on every node and their flags, the disks, the clocks and the kubelets",
    "the API will be unavailable for one to two minutes",
  ];
}

/**
 * Returns the advice to change khw.yaml. Without a change in khw.yaml, the next bootstrap would switch to the
 * configured release. Returns undefined if khw.yaml does not set a different release.
 */
export function otherReleaseNote({ kubernetes }: Pick<ClusterConfig, "kubernetes">, to: string): string | undefined {
  const { version } = kubernetes;
  if (version === undefined || version === to) return undefined;
  return (
    `kubernetes.version is ${version}, but this command switches to ${to}: set kubernetes.version to ${to} in khw.yaml, ` +
    "because the next bootstrap uses khw.yaml"
  );
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
