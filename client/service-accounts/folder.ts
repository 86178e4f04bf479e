import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { replaceFile } from "../files/replace.ts";
import { textAt, fieldOf, listOf } from "../pki/check/yaml.ts";
import type { NewFiles } from "../pki/folder.ts";
import {
  closeRotationFolder,
  createRotationFolder,
  lastRotation,
  readIfPresent,
  readRotationFile,
} from "../pki/rotation-folder.ts";
import { publicFile, privateFile, type Stage, stageOf, type TokenKeys } from "./stage.ts";

/** The folder of a rotation, inside the credentials folder. The folder exists while a rotation is under way. */
const folderName = "rotation-service-account-key";
const progressFile = "progress.json";
const oldKeyFile = "old-key.pem";
const newKeyFile = "new-key.pem";
const newCertificateFile = "new.pem";

/** Facts about a rotation that the two key files do not show. */
export interface Progress {
  /** The time from which no API server signs with the old key. */
  readonly signingSince?: string | undefined;
  /** The time when khw first showed the user the remaining uses of the old key. */
  readonly listedAt?: string | undefined;
  /** The day, in UTC, from which the old key may be dropped, even if tokens signed with the old key remain. */
  readonly dropOn?: string | undefined;
  /** The Secrets that new Secrets have replaced, as NAMESPACE/NAME. Absent if no Secret was replaced. */
  readonly replaced?: readonly string[] | undefined;
}

/** A rotation that is under way. */
export interface Rotation {
  readonly keys: TokenKeys;
  /** The private key that signed tokens before the rotation, in PEM. */
  readonly oldKey: string;
  readonly progress: Progress;
  readonly stage: Stage;
}

export interface NewRotation {
  readonly oldKey: string;
  readonly newKey: string;
  readonly newCertificate: string;
}

/**
 * Reads the rotation that is under way; undefined if no rotation is under way.
 * @throws KhwError CREDENTIAL_INVALID for damaged or missing files, IO_FAILED
 */
export async function readRotation(credentials: string): Promise<Rotation | undefined> {
  const folder = join(credentials, folderName);
  const text = await readIfPresent(join(folder, progressFile));
  if (text === undefined) return undefined;
  const keys: TokenKeys = {
    certificates: await readRotationFile(join(credentials, publicFile)),
    signingKey: await readRotationFile(join(credentials, privateFile)),
    newCertificate: await readRotationFile(join(folder, newCertificateFile)),
    newKey: await readRotationFile(join(folder, newKeyFile)),
  };
  return {
    keys,
    oldKey: await readRotationFile(join(folder, oldKeyFile)),
    progress: parseProgress(text),
    stage: stageOf(keys),
  };
}

/**
 * Creates the rotation's folder with the new key. The folder and all of its files appear in a single step.
 * @throws KhwError BUSY if another command has started a rotation in the meantime
 */
export async function beginRotation(
  credentials: string,
  { oldKey, newKey, newCertificate }: NewRotation,
): Promise<void> {
  const files: NewFiles = {
    [oldKeyFile]: oldKey,
    [newKeyFile]: newKey,
    [newCertificateFile]: newCertificate,
    [progressFile]: "{}\n",
  };
  await createRotationFolder(credentials, folderName, files);
}

/** Records the progress of the rotation. */
export async function recordProgress(credentials: string, progress: Progress): Promise<void> {
  await replaceFile(join(credentials, folderName, progressFile), `${JSON.stringify(progress, null, 2)}\n`, 0o600);
}

/**
 * Ends the rotation: renames the rotation's folder, then removes the new key's copy from it. Returns the folder's new
 * path.
 */
export async function endRotation(credentials: string, now: Date): Promise<string> {
  return closeRotationFolder(credentials, folderName, { remove: [newKeyFile, newCertificateFile], now });
}

function parseProgress(text: string): Progress {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    const file = `${folderName}/${progressFile}`;
    throw new KhwError("CREDENTIAL_INVALID", `${file} is not JSON`, {
      hint: "restore the credentials folder from its newest copy",
      cause,
    });
  }
  const replaced = fieldOf(data, "replaced") === undefined ? undefined : listOf(data, "replaced").map(String);
  const [signingSince, listedAt, dropOn] = ["signingSince", "listedAt", "dropOn"].map((name) => textAt(data, name));
  return { signingSince, listedAt, dropOn, replaced };
}

/** Returns the folder with the files of the last rotation that has ended; undefined if no rotation has ended. */
export function lastKeyRotation(credentials: string): Promise<string | undefined> {
  return lastRotation(credentials, folderName);
}
