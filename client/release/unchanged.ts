import { KhwError } from "../../proto/errors.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import type { Releases } from "../config/releases.ts";
import { changesRelease, distinct, isUnfinished, type NodeRelease } from "./path.ts";
import type { RunningReleases } from "./releases.ts";

export interface UnchangedOptions {
  readonly running: Pick<RunningReleases, "kubernetes" | "etcd">;
  readonly releases: Releases;
  readonly work: readonly Pick<NodeWork, "desired">[];
}

/**
 * Returns an obstacle for each release that a command would change although the command has another purpose, for
 * example new certificates. Such a command has none of the checks and gates of an upgrade. An unfinished update is not
 * an obstacle, because the command may be the repair.
 */
export function changedReleaseObstacles({ running, releases, work }: UnchangedOptions): KhwError[] {
  const managesEtcd = work.some(({ desired }) => desired.etcd !== undefined);
  const programs = [
    { program: "Kubernetes", setting: "kubernetes.version", nodes: running.kubernetes, wanted: releases.kubernetes },
    { program: "etcd", setting: "etcd.version", nodes: managesEtcd ? running.etcd : [], wanted: releases.etcd },
  ];
  return programs.flatMap(judge);
}

interface Change {
  readonly program: string;
  readonly setting: string;
  readonly nodes: readonly NodeRelease[];
  readonly wanted: string;
}

function judge({ program, setting, nodes, wanted }: Change): KhwError[] {
  if (isUnfinished(nodes) || !changesRelease(nodes, wanted)) return [];
  const [current = "?"] = distinct(nodes);
  return [
    new KhwError("RELEASE_REFUSED", `this command would also change ${program} from ${current} to ${wanted}`, {
      hint: `change the release first, with khw-client bootstrap or khw-client upgrade; or set ${setting} to ${current}`,
    }),
  ];
}
