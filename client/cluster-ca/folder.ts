import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { replaceFile } from "../files/replace.ts";
import { textAt } from "../pki/check/yaml.ts";
import {
  caRotationFolder,
  closeRotationFolder,
  lastRotation,
  createRotationFolder,
  readIfPresent,
  readRotationFile,
} from "../pki/rotation-folder.ts";
import { type CaKind, kinds } from "./kinds.ts";
import { type Authorities, type Stage, stageOf } from "./stage.ts";

const files = {
  oldCertificate: "old-ca.pem",
  oldKey: "old-ca-key.pem",
  newCertificate: "new-ca.pem",
  newKey: "new-ca-key.pem",
  progress: "progress.json",
} as const;

/** Facts about a rotation that the CA's file does not show. */
export interface Progress {
  /** The time from which every component on every controller trusts both CAs. */
  readonly trustedSince?: string | undefined;
  /** The time from which every component on every controller has a certificate from the new CA. */
  readonly reissuedSince?: string | undefined;
}

/** A CA rotation that is in progress. */
export interface CaRotation extends Authorities {
  readonly stage: Stage;
  readonly progress: Progress;
}

/**
 * Returns the rotation that is under way in the credentials folder; undefined if there is no rotation.
 * @throws KhwError CREDENTIAL_INVALID, IO_FAILED
 */
export async function readCaRotation(
  credentials: string,
  kind: CaKind = "cluster-ca",
): Promise<CaRotation | undefined> {
  const { file } = kinds[kind];
  const path = (name: string): string => join(credentials, caRotationFolder(file), name);
  const text = await readIfPresent(path(files.progress));
  if (text === undefined) return undefined;
  const old = {
    certificate: await readRotationFile(path(files.oldCertificate)),
    key: await readRotationFile(path(files.oldKey)),
  };
  const next = {
    certificate: await readRotationFile(path(files.newCertificate)),
    key: await readRotationFile(path(files.newKey)),
  };
  const progress = parseProgress(text, caRotationFolder(file));
  // If etcd is moving to its own CA, the folder has no file for this CA at first.
  const ca = kind === "etcd-ca" ? await readIfPresent(join(credentials, `${file}.pem`)) : undefined;
  if (kind === "etcd-ca" && ca === undefined) return { old, next, stage: "started", progress };
  const stage = stageOf(ca ?? (await readRotationFile(join(credentials, `${file}.pem`))), { old, next }, file);
  return { old, next, stage, progress };
}

/**
 * Creates the rotation's folder with both CAs. The folder does not appear before all of its files are complete.
 * @throws KhwError BUSY if another command has started a rotation in the meantime
 */
export async function beginCaRotation(
  credentials: string,
  { old, next }: Authorities,
  kind: CaKind = "cluster-ca",
): Promise<void> {
  await createRotationFolder(credentials, caRotationFolder(kinds[kind].file), {
    [files.oldCertificate]: old.certificate,
    [files.oldKey]: old.key,
    [files.newCertificate]: next.certificate,
    [files.newKey]: next.key,
    [files.progress]: "{}\n",
  });
}

/** Records the progress of the rotation. */
export async function recordCaProgress(
  credentials: string,
  progress: Progress,
  kind: CaKind = "cluster-ca",
): Promise<void> {
  const path = join(credentials, caRotationFolder(kinds[kind].file), files.progress);
  await replaceFile(path, `${JSON.stringify(progress, null, 2)}\n`, 0o600);
}

/** Ends the rotation. Returns the folder that keeps the old CA. */
export async function endCaRotation(credentials: string, now: Date, kind: CaKind = "cluster-ca"): Promise<string> {
  const folder = caRotationFolder(kinds[kind].file);
  return closeRotationFolder(credentials, folder, { remove: [files.newKey, files.newCertificate], now });
}

function parseProgress(text: string, folder: string): Progress {
  try {
    const data: unknown = JSON.parse(text);
    return { trustedSince: textAt(data, "trustedSince"), reissuedSince: textAt(data, "reissuedSince") };
  } catch (cause) {
    throw new KhwError("CREDENTIAL_INVALID", `${folder}/${files.progress} is not JSON`, {
      hint: "restore the credentials folder from its newest copy",
      cause,
    });
  }
}

/** Returns the folder with the files of the last rotation that has ended; undefined if no rotation has ended. */
export function lastCaRotation(credentials: string, kind: CaKind): Promise<string | undefined> {
  return lastRotation(credentials, caRotationFolder(kinds[kind].file));
}
