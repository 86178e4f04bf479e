import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { describeStage as describeCaStage } from "../cluster-ca/describe.ts";
import { readCaRotation } from "../cluster-ca/folder.ts";
import { type CaKind, kinds } from "../cluster-ca/kinds.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { parseEncryptionConfig } from "../encryption/config.ts";
import { readManagementRotation, type Stage } from "../management/folder.ts";
import { stageOfAll } from "../pki/encryption/stage.ts";
import { describeStage } from "../service-accounts/describe.ts";
import { readRotation } from "../service-accounts/folder.ts";

export type RotationName = "encryption-key" | "service-account-key" | CaKind | "management";

/** The folders whose files show which rotations are under way. */
export interface RotationFolders {
  readonly credentials: string;
  /** The folder of the management identities. */
  readonly management: string;
}

/** A rotation that is under way, according to the files in the credentials folder. */
export interface UnderWay {
  readonly rotation: RotationName;
  /** The stage's name, for programs. */
  readonly stage: string;
  /** Describes the stage. */
  readonly what: string;
  /** The command that continues the rotation. */
  readonly command: string;
}

const commands: Readonly<Record<RotationName, string>> = {
  "encryption-key": "khw-client encryption rotate",
  "service-account-key": "khw-client pki rotate-service-account-key",
  "cluster-ca": kinds["cluster-ca"].command,
  "etcd-ca": kinds["etcd-ca"].command,
  "signing-ca": kinds["signing-ca"].command,
  management: "khw-client pki rotate-management",
};

/**
 * Returns the rotations that are under way. Skips an encryption config that is missing or cannot be read, because other
 * commands report that file.
 */
export async function rotationsUnderWay({ credentials, management }: RotationFolders): Promise<UnderWay[]> {
  const found = await Promise.all([
    encryptionStage(credentials),
    tokenStage(credentials),
    caStage(credentials, "cluster-ca"),
    caStage(credentials, "etcd-ca"),
    caStage(credentials, "signing-ca"),
    managementStage(management),
  ]);
  return found.flat();
}

async function encryptionStage(folder: string): Promise<UnderWay[]> {
  const text = await readFile(join(folder, "encryption-config.yaml"), "utf8").catch((error: unknown) => {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  });
  if (text === undefined) return [];
  try {
    const stage = stageOfAll(parseEncryptionConfig(text).entries.map(({ providers }) => providers));
    if (stage === "settled") return [];
    const what =
      stage === "added"
        ? "the new key is added, but is not used for encryption yet"
        : "the new key encrypts, but the old keys are not removed yet";
    return [{ rotation: "encryption-key", stage, what, command: commands["encryption-key"] }];
  } catch (thrown) {
    if (toKhwError(thrown).code !== "CREDENTIAL_INVALID") throw thrown;
    return [];
  }
}

async function tokenStage(folder: string): Promise<UnderWay[]> {
  const own = { rotation: "service-account-key", command: commands["service-account-key"] } as const;
  try {
    const rotation = await readRotation(folder);
    if (rotation === undefined) return [];
    const waits = rotation.stage === "signing" && rotation.progress.signingSince !== undefined;
    return [{ ...own, stage: waits ? "waiting" : rotation.stage, what: describeStage(rotation) }];
  } catch (thrown) {
    return [{ ...own, stage: "unreadable", what: toKhwError(thrown).message }];
  }
}

async function caStage(folder: string, kind: CaKind): Promise<UnderWay[]> {
  const own = { rotation: kind, command: commands[kind] } as const;
  try {
    const rotation = await readCaRotation(folder, kind);
    if (rotation === undefined) return [];
    const { stage, progress } = rotation;
    const waiting =
      stage === "trusted" && progress.trustedSince !== undefined
        ? "waiting-for-reissue"
        : stage === "reissued" && progress.reissuedSince !== undefined
          ? "waiting-for-drop"
          : undefined;
    return [{ ...own, stage: waiting ?? stage, what: describeCaStage(rotation, kind) }];
  } catch (thrown) {
    return [{ ...own, stage: "unreadable", what: toKhwError(thrown).message }];
  }
}

const managementStages: Readonly<Record<Stage, string>> = {
  started: "the agents are getting the new management CA; they still trust the old CA",
  trusted: "every agent trusts both management CAs; the rotation is waiting for --drop-old",
  dropped: "the old management CA is being dropped",
};

async function managementStage(folder: string): Promise<UnderWay[]> {
  const own = { rotation: "management", command: commands.management } as const;
  try {
    const rotation = await readManagementRotation(folder);
    return rotation === undefined ? [] : [{ ...own, stage: rotation.stage, what: managementStages[rotation.stage] }];
  } catch (thrown) {
    return [{ ...own, stage: "unreadable", what: toKhwError(thrown).message }];
  }
}

/** Returns the folders whose files record the stages of this cluster's rotations. */
export function rotationFolders({ credentials, management }: ClusterConfig): RotationFolders {
  return { credentials: credentials.folder, management: dirname(management.ca) };
}

/** @throws KhwError BUSY if a rotation of another kind is under way */
export async function refuseOtherRotation(folders: RotationFolders, own: RotationName): Promise<void> {
  const other = (await rotationsUnderWay(folders)).find(({ rotation }) => rotation !== own);
  if (other === undefined) return;
  throw new KhwError("BUSY", `another rotation is under way (${other.rotation}): ${other.what}`, {
    hint: `finish it first with ${other.command}`,
  });
}

/** Describes a rotation in one line, with the command that continues the rotation. */
export function describeRotation({ rotation, what, command }: UnderWay): string {
  return `a rotation is under way (${rotation}): ${what}. Continue with ${command}`;
}
