import { type EndedParts, hasEnded } from "../pki/rotation-folder.ts";
import { KhwError } from "../../proto/errors.ts";
import { utcDay } from "../../proto/time.ts";
import type { NewFiles } from "../pki/folder.ts";
import { type NodeDifference, refuseDifferences } from "../rollout/differences.ts";
import { describeUses } from "./describe.ts";
import type { Progress, Rotation } from "./folder.ts";
import { addedFiles, droppedFiles, signingFiles } from "./stage.ts";
import type { OldUses } from "./uses.ts";

/** The parts of a rotation. Each part either completes or throws. */
export interface RotationParts extends EndedParts {
  /** Returns the rotation that is under way; undefined if no rotation is under way. */
  read(): Promise<Rotation | undefined>;
  /** Creates the new key in the rotation's folder. */
  begin(): Promise<void>;
  /** Replaces files in the credentials folder durably. */
  replace(files: NewFiles): Promise<void>;
  record(progress: Progress): Promise<void>;
  /** Describes how the nodes differ from the files on this workstation. */
  differences(): Promise<readonly NodeDifference[]>;
  /** Updates the nodes; afterwards, every API server uses the files. */
  roll(): Promise<void>;
  /** Checks that the API servers sign with the new key. Returns the time on an API server's clock. */
  confirmSigning(rotation: Rotation): Promise<Date>;
  /**
   * Replaces the Secrets with tokens signed with the old key. Calls `before` with the old Secrets, before they are
   * replaced.
   */
  reissue(rotation: Rotation, before: (secrets: readonly string[]) => Promise<void>): Promise<void>;
  uses(rotation: Rotation): Promise<OldUses>;
  /** Checks that every API server treats a token signed with the old key as `oldTokens` says. */
  prove(rotation: Rotation, oldTokens: "accepted" | "refused"): Promise<void>;
  /** Deletes the Secrets that were replaced and that no pod uses. */
  deleteReplaced(rotation: Rotation): Promise<void>;
  /** Removes the rotation's folder. */
  end(): Promise<void>;
}

export interface RotateOptions {
  readonly now: Date;
  /** The day, in UTC, from which the old key may be dropped. */
  readonly dropOn?: string | undefined;
  /** Whether to replace the Secrets with tokens signed with the old key. */
  readonly reissueTokens: boolean;
}

/**
 * Replaces the key that signs the service accounts' tokens. First, every API server accepts tokens signed with the new
 * key. Then, every API server signs with the new key. Finally, the old key is dropped. The credentials folder
 * records the stage, so the next run continues an interrupted rotation. Returns false if the rotation waits: both keys
 * are accepted, because tokens signed with the old key may remain.
 * @throws KhwError INVALID_ARGUMENT, NODES_DIFFER, RELEASE_REFUSED before anything changes; VERIFY_FAILED
 */
export async function rotate(parts: RotationParts, options: RotateOptions): Promise<boolean> {
  let rotation = await parts.read();
  if (options.dropOn !== undefined && rotation === undefined && (await hasEnded(parts))) return true;
  refuseEarlyDrop(rotation, options);
  if (rotation === undefined) {
    refuseDifferences(await parts.differences());
    await parts.begin();
    rotation = await current(parts);
  } else parts.note(`a rotation of the service accounts' key is already in progress (${rotation.stage}) and continues`);

  if (rotation.stage === "started") {
    await parts.replace(addedFiles(rotation.keys));
    parts.note("the new public key is added; every API server now gets it, to accept tokens signed with the new key");
    rotation = await current(parts);
  }
  if (rotation.stage === "added") {
    await parts.roll();
    await parts.replace(signingFiles(rotation.keys));
    parts.note(
      "every API server accepts tokens signed with the new key; every API server now starts to sign with the new key",
    );
    rotation = await current(parts);
  }
  if (rotation.stage === "signing") {
    rotation = await sign(parts, rotation);
    rotation = await reissue(parts, rotation, options);
    if (!(await mayDrop(parts, rotation, options))) return false;
    if ((await parts.differences()).length > 0) await parts.roll();
    await parts.prove(rotation, "accepted");
    await parts.replace(droppedFiles(rotation.keys));
    parts.note(
      "the old key is dropped from service-account.pem; every API server now stops accepting tokens signed with the old key",
    );
  }
  await finish(parts, await current(parts));
  return true;
}

async function sign(parts: RotationParts, rotation: Rotation): Promise<Rotation> {
  if (rotation.progress.signingSince !== undefined) return rotation;
  await parts.roll();
  const signingSince = (await parts.confirmSigning(rotation)).toISOString();
  await parts.record({ ...rotation.progress, signingSince });
  parts.note(`since ${signingSince}, every API server has signed with the new key`);
  return current(parts);
}

async function reissue(parts: RotationParts, rotation: Rotation, options: RotateOptions): Promise<Rotation> {
  if (!options.reissueTokens && rotation.progress.replaced === undefined) return rotation;
  let latest = rotation;
  await parts.reissue(rotation, async (secrets) => {
    const replaced = [...new Set([...(latest.progress.replaced ?? []), ...secrets])];
    await parts.record({ ...latest.progress, replaced });
    latest = await current(parts);
  });
  return latest;
}

/** Shows the uses of the old key. Returns whether the old key may be dropped now. */
async function mayDrop(parts: RotationParts, rotation: Rotation, { now, dropOn }: RotateOptions): Promise<boolean> {
  const { progress } = rotation;
  const uses = await parts.uses(rotation);
  for (const line of describeUses(uses, progress.signingSince ?? "")) parts.note(line);
  const [day, listedAt] = [dropOn ?? progress.dropOn, progress.listedAt ?? now.toISOString()];
  if (day !== progress.dropOn || listedAt !== progress.listedAt)
    await parts.record({ ...progress, listedAt, dropOn: day });
  if (day !== undefined && day <= utcDay(now)) return true;
  parts.note(
    day === undefined
      ? "the rotation waits, and both keys are in use; restart the workloads, then run this command again with --drop-on DATE, the day from which the old key may be dropped (today or later)"
      : `the rotation waits, and both keys are in use; run this command again on ${day} or later to drop the old key`,
  );
  return false;
}

async function finish(parts: RotationParts, rotation: Rotation): Promise<void> {
  await parts.roll();
  await parts.prove(rotation, "refused");
  if (rotation.progress.replaced !== undefined) await parts.deleteReplaced(rotation);
  const { workloads } = await parts.uses(rotation);
  for (const line of describeUses({ secrets: [], workloads }, rotation.progress.signingSince ?? "")) parts.note(line);
  await parts.end();
  parts.note("done: every API server refuses tokens signed with the old key");
}

async function current(parts: RotationParts): Promise<Rotation> {
  const rotation = await parts.read();
  if (rotation !== undefined) return rotation;
  throw new KhwError("BUSY", "the rotation's folder disappeared while the rotation was running", {
    hint: "make sure that no other command is using this credentials folder, then run the command again",
  });
}

function refuseEarlyDrop(rotation: Rotation | undefined, { dropOn, now }: RotateOptions): void {
  if (dropOn === undefined) return;
  if (rotation?.stage !== "dropped" && rotation?.progress.listedAt === undefined) {
    throw new KhwError("INVALID_ARGUMENT", "--drop-on: the uses of the old key have not been listed yet", {
      hint: "run the command without --drop-on first; it lists the tokens and workloads that still use the old key",
    });
  }
  if (dropOn < utcDay(now)) {
    throw new KhwError("INVALID_ARGUMENT", `--drop-on: ${dropOn} is in the past`, {
      hint: `use ${utcDay(now)} (today, in UTC) or a later day`,
    });
  }
}
