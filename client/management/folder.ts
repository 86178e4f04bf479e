import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import {
  closeRotationFolder,
  createRotationFolder,
  lastRotation,
  readIfPresent,
  readRotationFile,
} from "../pki/rotation-folder.ts";
import type { Identity } from "../pki/certificate.ts";

/**
 * The stage of a management CA rotation. It depends on ca.pem in the folder of the management identities:
 * - "started": ca.pem has only the old CA; the agents get both CAs;
 * - "trusted": ca.pem has both CAs, and every agent trusts both;
 * - "dropped": ca.pem has only the new CA.
 */
export type Stage = "started" | "trusted" | "dropped";

/** A rotation of the management CA that is under way. */
export interface ManagementRotation {
  readonly stage: Stage;
  readonly old: Identity;
  readonly next: Identity;
}

const folderName = "rotation-management";
const files = {
  oldCertificate: "old-ca.pem",
  oldKey: "old-ca-key.pem",
  newCertificate: "new-ca.pem",
  newKey: "new-ca-key.pem",
} as const;

/**
 * Reads the rotation that is under way in the folder of the management identities; undefined if there is no rotation.
 * @throws KhwError CREDENTIAL_INVALID, IO_FAILED
 */
export async function readManagementRotation(folder: string): Promise<ManagementRotation | undefined> {
  const path = (name: string): string => join(folder, folderName, name);
  const oldCertificate = await readIfPresent(path(files.oldCertificate));
  if (oldCertificate === undefined) return undefined;
  const old = { certificate: oldCertificate, key: await readRotationFile(path(files.oldKey)) };
  const next = {
    certificate: await readRotationFile(path(files.newCertificate)),
    key: await readRotationFile(path(files.newKey)),
  };
  return { old, next, stage: stageOf(await readRotationFile(join(folder, "ca.pem")), { old, next }) };
}

export async function beginManagementRotation(
  folder: string,
  { old, next }: Pick<ManagementRotation, "old" | "next">,
): Promise<void> {
  await createRotationFolder(folder, folderName, {
    [files.oldCertificate]: old.certificate,
    [files.oldKey]: old.key,
    [files.newCertificate]: next.certificate,
    [files.newKey]: next.key,
  });
}

/** Ends the rotation. Returns the folder that keeps the old CA. */
export async function endManagementRotation(folder: string, now: Date): Promise<string> {
  return closeRotationFolder(folder, folderName, { remove: [files.newKey, files.newCertificate], now });
}

/** Returns both CAs in PEM. The first CA signs new certificates. */
export function bothAuthorities(first: Identity, second: Identity): string {
  return `${first.certificate.trimEnd()}\n${second.certificate.trimEnd()}\n`;
}

function stageOf(ca: string, { old, next }: Pick<ManagementRotation, "old" | "next">): Stage {
  const digest = (pem: string): string => new X509Certificate(pem).fingerprint256;
  const present = new Set((ca.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(digest));
  const [hasOld, hasNew] = [present.has(digest(old.certificate)), present.has(digest(next.certificate))];
  if (hasNew) return hasOld ? "trusted" : "dropped";
  if (hasOld) return "started";
  throw new KhwError("CREDENTIAL_INVALID", "ca.pem has neither the old nor the new management CA of the rotation", {
    hint: "restore ca.pem from the newest replaced-* folder beside it",
  });
}

/** Returns the folder with the files of the last rotation that has ended; undefined if no rotation has ended. */
export function lastManagementRotation(folder: string): Promise<string | undefined> {
  return lastRotation(folder, folderName);
}
