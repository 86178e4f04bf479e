import { KhwError } from "../../proto/errors.ts";
import { newKey } from "../pki/encryption/provider.ts";
import {
  addKey,
  currentKind,
  dropOldKeys,
  isOwnName,
  newestKeyName,
  promoteKey,
  stageOf,
  stageOfAll,
  writingKey,
} from "../pki/encryption/stage.ts";
import { refuseDifferences } from "../rollout/differences.ts";
import { type EncryptionConfig, parseEncryptionConfig } from "./config.ts";
import { hasKms, refuseContradiction, rotateFromKms, rotateToKms } from "./kms-move.ts";
import {
  change,
  conclude,
  isRolloutUnfinished,
  refuseUnreadable,
  rewriteAll,
  type RotateOptions,
  type RotationParts,
} from "./stages.ts";
import { outdated } from "./stored.ts";

/**
 * Replaces the keys that Kubernetes uses for encryption. Adds a new key, makes it the key that encrypts new values,
 * rewrites all values, and removes the old keys. All API servers are updated between these steps. The configuration
 * file, the nodes and etcd show the progress of a rotation. Therefore, another run can complete an interrupted
 * rotation.
 * @throws KhwError CREDENTIAL_INVALID for a configuration that cannot be rotated; NODES_DIFFER or KEY_MISSING, before
 * anything changes
 */
export async function rotate(parts: RotationParts, { kind, kms, now }: RotateOptions): Promise<void> {
  if (kms !== undefined && kind === undefined) return rotateToKms(parts, kms);
  let config = parseEncryptionConfig(await parts.read());
  if (hasKms(config)) return rotateFromKms(parts, { kind: kind ?? refuseKmsKey(), kms, now });
  refuseUnreadable(await parts.stored(), config.entries);
  let stage = stageOfAll(config.entries.map(({ providers }) => providers));
  if (stage === "settled" && (await isUnfinished(parts, config))) stage = "first";
  else if (stage === "settled") {
    refuseContradiction(kms, kind);
    const all = config.entries.map(({ providers }) => providers);
    const name = newestKeyName(all, now);
    config = await change(parts, config, ({ providers }) =>
      addKey(providers, { kind: kind ?? currentKind(providers), key: newKey(name) }),
    );
    parts.note("the new key is added; every API server is being updated to decrypt with it");
    stage = "added";
  } else parts.note("a rotation is already in progress; this run continues it");

  if (stage === "added") {
    await parts.roll();
    config = await change(parts, config, ({ providers }) =>
      stageOf(providers) === "added" ? promoteKey(providers) : providers,
    );
    parts.note("the new key is now first in the file; every API server is being updated to encrypt with it");
  }
  await parts.roll();
  await rewriteAll(parts, config.entries);
  const last = await change(parts, config, ({ providers }) => dropOldKeys(providers));
  if (last !== config) {
    parts.note("the old keys are no longer used and are being removed");
    await parts.roll();
  }
  await conclude(parts, "no other key is in use");
}

/**
 * Whether the last part of a rotation was interrupted. In that case, the configuration is final, but nodes or etcd
 * still differ from it. If khw did not write the configuration, differences are an error.
 */
async function isUnfinished(parts: RotationParts, { entries }: EncryptionConfig): Promise<boolean> {
  const [differences, stored] = [await parts.differences(), await parts.stored()];
  const own = entries.every(({ providers }) => isOwnName(writingKey(providers)?.name ?? ""));
  const unfinished = own && (isRolloutUnfinished(differences) || outdated(stored, entries).length > 0);
  if (unfinished) {
    parts.note("this run completes the interrupted rotation; to rotate to a new key, run the command again");
    return true;
  }
  refuseDifferences(differences);
  return false;
}

function refuseKmsKey(): never {
  throw new KhwError("CREDENTIAL_INVALID", "a KMS plugin encrypts the values, so the file has no key to rotate", {
    hint: "rotate the key in the KMS, set encryption.kms in khw.yaml, and run the command again; to stop using the plugin, use --provider secretbox instead",
  });
}
