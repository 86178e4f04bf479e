import { KhwError } from "../../proto/errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { isManaged } from "../config/desired.ts";
import type { Releases } from "../config/releases.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { changesRelease, distinct, isUnfinished, type NodeRelease } from "./path.ts";
import { readReleases, type RunningReleases, wantedReleases } from "./releases.ts";

export interface UnchangedOptions {
  readonly running: Pick<RunningReleases, "kubernetes" | "etcd">;
  readonly releases: Releases;
}

/**
 * Returns an obstacle for each release that a command would change although the command has another purpose, for
 * example new certificates. Such a command has none of the checks and gates of an upgrade. An unfinished update is not
 * an obstacle, because the command may be the repair.
 */
export function changedReleaseObstacles(
  config: Pick<ClusterConfig, "etcd" | "cluster">,
  { running, releases }: UnchangedOptions,
): KhwError[] {
  const programs = [
    { program: "Kubernetes", setting: "kubernetes.version", nodes: running.kubernetes, wanted: releases.kubernetes },
    { program: "etcd", setting: "etcd.version", nodes: isManaged(config) ? running.etcd : [], wanted: releases.etcd },
  ];
  return programs.flatMap(judge);
}

/** @throws KhwError RELEASE_REFUSED if the configured releases differ from the running ones */
export async function refuseChangedReleases(
  { config, members }: Pick<OpenCluster, "config" | "members">,
  signal: AbortSignal,
): Promise<void> {
  const { running } = await readReleases(members, signal);
  refuseFindings(changedReleaseObstacles(config, { running, releases: wantedReleases(config, running) }));
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
      hint: `set ${setting} to ${current} for this command; change the release with khw-client bootstrap or khw-client upgrade`,
    }),
  ];
}
