import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { whileHeld } from "../lock/mutex.ts";
import { replaceFiles } from "../pki/cluster/folder.ts";
import { completeFolder, type NewFiles } from "../pki/folder.ts";
import { openProgress, type Output } from "../progress/open.ts";
import type { Progress } from "../progress/progress.ts";
import { type NodeDifference, nodeDifferences } from "../rollout/differences.ts";
import { type Prepared, prepare } from "../rollout/plan.ts";
import { roll } from "../rollout/rolling-update.ts";
import type { Context } from "../terminal/context.ts";
import { refuseOtherRotation, type RotationName, rotationFolders } from "./under-way.ts";

/** The data and operations that all rotations of files in the credentials folder use. */
export interface RotationSession {
  readonly cluster: OpenCluster;
  readonly progress: Progress;
  readonly note: (text: string) => void;
  /** Reads the credentials and the addresses again, because the rotation changes files. */
  readonly prepared: () => Promise<Prepared>;
  /**
   * Replaces files in the credentials folder, and keeps the previous versions.
   * @throws KhwError CANCELLED, before anything is written, after Ctrl-C
   */
  readonly replace: (files: NewFiles) => Promise<void>;
  /** Returns the differences between the nodes and the files on this workstation. */
  readonly differences: () => Promise<NodeDifference[]>;
  /** Copies the files to all nodes, one node at a time. */
  readonly roll: () => Promise<void>;
}

export interface RotationOptions {
  readonly output: Output;
  /** Whether to leave a failed node as it is, for inspection. */
  readonly noRollback: boolean;
}

/**
 * Runs a rotation. Only one client on this workstation can run a rotation at a time.
 * @throws KhwError BUSY if another rotation is under way, or if another client is running a rotation
 */
export async function whileRotating(
  rotation: RotationName,
  {
    config,
    context,
    output,
    noRollback,
  }: RotationOptions & { readonly config: ClusterConfig; readonly context: Context },
  work: (session: RotationSession) => Promise<unknown>,
): Promise<void> {
  const { folder } = config.credentials;
  const { signal } = context;
  await whileHeld(join(folder, "rotation"), async () => {
    await completeFolder(folder);
    await refuseOtherRotation(rotationFolders(config), rotation);
    await using cluster = await openCluster(config, signal);
    const progress = await openProgress(output, context);
    const note = (text: string): void => progress.emit({ kind: "note", text });
    await work({
      cluster,
      progress,
      note,
      prepared: () => prepare(cluster, { signal, mayCreateAddress: false, newCredentials: "refuse" }),
      replace: async (files) => {
        if (signal.aborted) throw new KhwError("CANCELLED", "stopped", { hint: "run the command again to continue" });
        const kept = await replaceFiles(folder, files, new Date());
        note(`${Object.keys(files).join(", ")} in ${folder}: written; the previous version is kept in ${kept}`);
      },
      differences: () => nodeDifferences(cluster, signal),
      roll: async () => void (await roll(cluster, { context, progress, noRollback })),
    });
  });
}
