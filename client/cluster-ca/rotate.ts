import { type EndedParts, hasEnded } from "../pki/rotation-folder.ts";
import { KhwError } from "../../proto/errors.ts";
import { type NodeDifference, refuseDifferences } from "../rollout/differences.ts";
import type { CaRotation, Progress } from "./folder.ts";
import { type CaKind, kinds } from "./kinds.ts";
import type { Stage } from "./stage.ts";
import { rotationTexts } from "./texts.ts";

/** The operations of a CA rotation. Each operation either completes or throws. */
export interface CaParts extends EndedParts {
  readonly kind: CaKind;
  /** Returns the rotation that is under way; undefined if no rotation is under way. */
  read(): Promise<CaRotation | undefined>;
  /** Describes how the nodes differ from the files on this workstation. */
  differences(): Promise<readonly NodeDifference[]>;
  /** Checks the requirements of a rotation, and creates the new CA in the rotation's folder. */
  begin(): Promise<void>;
  /** Replaces the files in the credentials folder with the stage's files. */
  write(stage: Exclude<Stage, "started">, rotation: CaRotation): Promise<void>;
  record(progress: Progress): Promise<void>;
  /** Updates the nodes, so that every component uses the new files. */
  roll(): Promise<void>;
  /**
   * Waits until every pod gets the CAs in ca.pem. Does not wait if the rotation does not affect pods. Returns the time
   * from which new pods get these CAs.
   */
  publish(): Promise<string>;
  /** Checks that the servers on every node accept or refuse a certificate from each CA, as expected. */
  prove(rotation: CaRotation, expected: Readonly<Record<"old" | "next", Verdict>>): Promise<void>;
  /** Describes the clients outside of khw that must trust both CAs. */
  clients(rotation: CaRotation): Promise<readonly string[]>;
  /** Describes the certificates outside of khw that the old CA has signed. */
  certificates(rotation: CaRotation): Promise<readonly string[]>;
  /** Describes the files and objects outside of khw that still contain the old CA. */
  rest(rotation: CaRotation): Promise<readonly string[]>;
  /** Removes the old CA from the ConfigMap for aggregated API servers. */
  forget(rotation: CaRotation): Promise<void>;
  /** Removes the rotation's folder. */
  end(): Promise<void>;
}

export type Verdict = "accepted" | "refused";

export interface RotateCaOptions {
  /** Whether every client outside of khw trusts both CAs, so that the certificates may be reissued. */
  readonly reissue: boolean;
  /** Whether every certificate outside of khw has been replaced, so that the old CA may be dropped. */
  readonly dropOld: boolean;
}

/**
 * Replaces a CA. First every component trusts both CAs. The rotation then waits, because clients outside of khw must
 * trust both CAs too. With `reissue`, every component gets a certificate from the new CA. The rotation waits again,
 * because clients outside of khw need new certificates too. With `dropOld`, every component stops trusting the old CA.
 * The files in the credentials folder show the stage, so a new run continues an interrupted rotation. Returns false if
 * the rotation waits.
 * @throws KhwError INVALID_ARGUMENT, NODES_DIFFER, RELEASE_REFUSED before anything changes; VERIFY_FAILED
 */
export async function rotateCa(parts: CaParts, options: RotateCaOptions): Promise<boolean> {
  const [{ title }, texts] = [kinds[parts.kind], rotationTexts[parts.kind]];
  let rotation = await parts.read();
  if (options.dropOld && rotation === undefined && (await hasEnded(parts))) return true;
  refuseEarly(rotation, options);
  if (rotation === undefined) {
    refuseDifferences(await parts.differences());
    await parts.begin();
    rotation = await current(parts);
  } else parts.note(`a rotation of ${title} is already in progress (${rotation.stage}) and continues`);

  if (rotation.stage === "started") {
    await parts.write("trusted", rotation);
    parts.note(texts.trusting);
    rotation = await current(parts);
  }
  if (rotation.stage === "trusted") {
    rotation = await trust(parts, rotation);
    if (!options.reissue) return wait(parts, texts.clients, "--reissue");
    await settle(parts, rotation);
    await parts.write("reissued", rotation);
    parts.note(texts.reissuing);
    rotation = await current(parts);
  }
  if (rotation.stage === "reissued") {
    rotation = await reissue(parts, rotation);
    if (!options.dropOld) return wait(parts, texts.certificates, "--drop-old");
    await settle(parts, rotation);
    await parts.write("dropped", rotation);
    parts.note(texts.dropping);
    rotation = await current(parts);
  }
  await finish(parts, rotation);
  return true;
}

async function trust(parts: CaParts, rotation: CaRotation): Promise<CaRotation> {
  let latest = rotation;
  if (rotation.progress.trustedSince === undefined) {
    await parts.roll();
    await parts.prove(rotation, { old: "accepted", next: "accepted" });
    await parts.record({ ...rotation.progress, trustedSince: await parts.publish() });
    latest = await current(parts);
    parts.note(rotationTexts[parts.kind].trusted);
  }
  for (const line of await parts.clients(latest)) parts.note(line);
  return latest;
}

async function reissue(parts: CaParts, rotation: CaRotation): Promise<CaRotation> {
  let latest = rotation;
  if (rotation.progress.reissuedSince === undefined) {
    await parts.roll();
    await parts.record({ ...rotation.progress, reissuedSince: await parts.publish() });
    latest = await current(parts);
    parts.note(rotationTexts[parts.kind].reissued);
  }
  for (const line of await parts.certificates(latest)) parts.note(line);
  return latest;
}

/** Makes sure that every node still trusts both CAs, because a node may have been replaced while the rotation waited. */
async function settle(parts: CaParts, rotation: CaRotation): Promise<void> {
  if ((await parts.differences()).length > 0) await parts.roll();
  await parts.prove(rotation, { old: "accepted", next: "accepted" });
}

function wait(parts: CaParts, until: string, flag: string): false {
  parts.note(`the rotation waits until ${until}; then run this command again with ${flag}`);
  return false;
}

async function finish(parts: CaParts, rotation: CaRotation): Promise<void> {
  await parts.roll();
  await parts.publish();
  await parts.forget(rotation);
  await parts.prove(rotation, { old: "refused", next: "accepted" });
  for (const line of await parts.rest(rotation)) parts.note(line);
  await parts.end();
  parts.note(rotationTexts[parts.kind].done);
}

async function current(parts: CaParts): Promise<CaRotation> {
  const rotation = await parts.read();
  if (rotation !== undefined) return rotation;
  throw new KhwError("BUSY", "the rotation's folder disappeared while the rotation was running", {
    hint: "make sure that no other command is using this credentials folder, then run the command again",
  });
}

function refuseEarly(rotation: CaRotation | undefined, { reissue, dropOld }: RotateCaOptions): void {
  const [stage, progress] = [rotation?.stage, rotation?.progress];
  if (reissue && (stage === undefined || stage === "started" || progress?.trustedSince === undefined)) {
    throw new KhwError("INVALID_ARGUMENT", "--reissue: not every component trusts the new CA yet", {
      hint: "run the command without --reissue first; it lists the clients that must trust both CAs",
    });
  }
  if (dropOld && stage !== "dropped" && progress?.reissuedSince === undefined) {
    throw new KhwError("INVALID_ARGUMENT", "--drop-old: not every component has a certificate from the new CA yet", {
      hint: "run the command with --reissue first; it lists the certificates that must be replaced",
    });
  }
}
