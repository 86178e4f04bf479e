import { KhwError } from "../../proto/errors.ts";
import { type EndedParts, hasEnded } from "../pki/rotation-folder.ts";
import type { ManagementRotation } from "./folder.ts";

/** The parts of a rotation of the management CA. Each part either completes or throws. */
export interface ManagementParts extends EndedParts {
  /** Returns the rotation that is under way; undefined if no rotation is under way. */
  read(): Promise<ManagementRotation | undefined>;
  /** Checks that every agent answers. */
  reachAll(): Promise<void>;
  /** Creates the new CA in the rotation's folder. */
  begin(): Promise<void>;
  /** Makes every agent trust both CAs. */
  trustBoth(rotation: ManagementRotation): Promise<void>;
  /** Makes the new CA the signing CA, puts both CAs into ca.pem, and reissues the identities in the folder. */
  reissueOwn(rotation: ManagementRotation): Promise<void>;
  /** Gives every agent a certificate from the new CA, and makes every agent trust only the new CA. */
  moveAgents(rotation: ManagementRotation): Promise<void>;
  /** Removes the old CA from ca.pem. */
  dropOld(rotation: ManagementRotation): Promise<void>;
  /** Checks that every agent refuses an identity from the old CA and accepts an identity from the new CA. */
  prove(rotation: ManagementRotation): Promise<void>;
  /** Removes the rotation's folder. */
  end(): Promise<void>;
}

/**
 * Replaces the management CA. First makes every agent trust both CAs, and reissues the identities in the folder. The
 * rotation then waits, because other people need new identities. With `dropOld`, every agent gets a certificate from
 * the new CA and stops trusting the old CA. The folder shows the stage, so running the rotation again continues an
 * interrupted rotation. Returns false if the rotation waits.
 * @throws KhwError INVALID_ARGUMENT if the old CA cannot be dropped yet, before anything changes; VERIFY_FAILED
 */
export async function rotateManagement(
  parts: ManagementParts,
  { dropOld }: { readonly dropOld: boolean },
): Promise<boolean> {
  let rotation = await parts.read();
  if (dropOld && rotation === undefined && (await hasEnded(parts))) return true;
  if (dropOld && (rotation === undefined || rotation.stage === "started")) {
    throw new KhwError("INVALID_ARGUMENT", "--drop-old: the agents do not trust the new management CA yet", {
      hint: "run the command without --drop-old first, and give other people their new identities",
    });
  }
  await parts.reachAll();
  if (rotation === undefined) {
    await parts.begin();
    rotation = await current(parts);
  } else parts.note(`a rotation of the management CA is already in progress (${rotation.stage}) and continues`);

  if (rotation.stage === "started") {
    await parts.trustBoth(rotation);
    await parts.reissueOwn(rotation);
    rotation = await current(parts);
  }
  if (rotation.stage === "trusted") {
    if (!dropOld) {
      parts.note(
        "the rotation waits: every agent trusts both management CAs; give other people the new ca.pem and new identities (khw-client pki issue), then run this command again with --drop-old",
      );
      return false;
    }
    await parts.moveAgents(rotation);
    await parts.prove(rotation);
    await parts.dropOld(rotation);
  }
  await parts.prove(rotation);
  await parts.end();
  parts.note("done: every agent refuses identities from the old management CA");
  return true;
}

async function current(parts: ManagementParts): Promise<ManagementRotation> {
  const rotation = await parts.read();
  if (rotation !== undefined) return rotation;
  throw new KhwError("BUSY", "the rotation's folder disappeared while the rotation was running", {
    hint: "make sure that no other command is working on this folder, then run the command again",
  });
}
