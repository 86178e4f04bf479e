import { KhwError } from "../../proto/errors.ts";
import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { type EncryptionConfig, type EncryptionEntry, parseEncryptionConfig } from "./config.ts";
import { type KeyedKind, newKey, type Provider } from "../pki/encryption/provider.ts";
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
import { type NodeDifference, refuseDifferences } from "../rollout/differences.ts";
import { encryptsByWildcard, outdated, describeStored, unreadableValues } from "./stored.ts";

/** The parts of a rotation. Each part either completes or throws. */
export interface RotationParts {
  /** Returns the encryption configuration on this workstation. */
  read(): Promise<string>;
  /** Replaces the configuration durably. */
  replace(text: string): Promise<void>;
  /**
   * Describes how the nodes differ from the files on this workstation.
   * @throws if any node cannot be reached
   */
  differences(): Promise<readonly NodeDifference[]>;
  /** Updates the nodes; afterwards, every API server uses the configuration. */
  roll(): Promise<void>;
  /** Rewrites every object of these resources with the current encryption. */
  rewrite(resources: readonly string[]): Promise<void>;
  stored(): Promise<readonly StoredValues[]>;
  note(text: string): void;
}

export interface RotateOptions {
  /** The provider for the new key; if absent, the configuration's current provider. */
  readonly kind?: KeyedKind | undefined;
  readonly now: Date;
}

const configStep = "credential/encryption-config.yaml";

/**
 * Replaces the keys that Kubernetes uses for encryption. Adds a new key, makes it the key that encrypts new values,
 * rewrites everything, and removes the old keys. All API servers are updated between these steps. The configuration
 * file, the nodes and etcd show how far a rotation got, so running it again completes an interrupted rotation.
 * @throws KhwError CREDENTIAL_INVALID for a configuration that cannot be rotated; NODES_DIFFER or KEY_MISSING, before
 * anything changes
 */
export async function rotate(parts: RotationParts, { kind, now }: RotateOptions): Promise<void> {
  let config = parseEncryptionConfig(await parts.read());
  refuseUnreadable(await parts.stored(), config.entries);
  let stage = stageOfAll(config.entries.map(({ providers }) => providers));
  if (stage === "settled" && (await isUnfinished(parts, config))) stage = "first";
  else if (stage === "settled") {
    const all = config.entries.map(({ providers }) => providers);
    const name = newestKeyName(all, now);
    config = await change(parts, config, ({ providers }) =>
      addKey(providers, { kind: kind ?? currentKind(providers), key: newKey(name) }),
    );
    parts.note("the new key is added; every API server now gets it, to decrypt values");
    stage = "added";
  } else parts.note("a rotation is already in progress; this run continues it");

  if (stage === "added") {
    await parts.roll();
    config = await change(parts, config, ({ providers }) =>
      stageOf(providers) === "added" ? promoteKey(providers) : providers,
    );
    parts.note("the new key is now first in the file; every API server is updated to encrypt with it");
  }
  await parts.roll();
  await rewriteAll(parts, config.entries);
  const last = await change(parts, config, ({ providers }) => dropOldKeys(providers));
  if (last !== config) {
    parts.note("the old keys are no longer used and are being removed");
    await parts.roll();
  }
  const told = describeStored(encrypted(await parts.stored()));
  parts.note(`done: ${told === "" ? "etcd has no encrypted values yet" : told}; no other key is in use`);
}

/** Writes the changed configuration and returns it. Returns the old configuration if there is no change. */
async function change(
  parts: RotationParts,
  config: EncryptionConfig,
  to: (entry: EncryptionEntry) => readonly Provider[],
): Promise<EncryptionConfig> {
  const text = config.withProviders(to);
  const changed = parseEncryptionConfig(text);
  if (JSON.stringify(changed.entries) === JSON.stringify(config.entries)) return config;
  await parts.replace(text);
  return changed;
}

/**
 * Whether the last part of a rotation was interrupted: the configuration is in its final state, but nodes or etcd still
 * differ from it. If khw did not write the configuration, differences are an error.
 */
async function isUnfinished(parts: RotationParts, { entries }: EncryptionConfig): Promise<boolean> {
  const [differences, stored] = [await parts.differences(), await parts.stored()];
  const own = entries.every(({ providers }) => isOwnName(writingKey(providers)?.name ?? ""));
  const unfinished =
    own && (differences.some(({ step }) => step === configStep) || outdated(stored, entries).length > 0);
  if (unfinished) {
    parts.note("this run completes the interrupted rotation; to rotate to a new key, run the command again");
    return true;
  }
  refuseDifferences(differences);
  return false;
}

async function rewriteAll(parts: RotationParts, entries: readonly EncryptionEntry[]): Promise<void> {
  if (!encryptsByWildcard(entries) && outdated(await parts.stored(), entries).length === 0) return;
  await parts.rewrite(entries.flatMap(({ resources }) => resources));
  const left = outdated(await parts.stored(), entries);
  if (left.length === 0) return;
  throw new KhwError(
    "VERIFY_FAILED",
    `some values were not rewritten, so the old keys are kept: ${describeStored(left)}`,
    {
      hint: "delete objects that the API no longer serves, or restore their resource; then run the command again",
    },
  );
}

function refuseUnreadable(stored: readonly StoredValues[], entries: readonly EncryptionEntry[]): void {
  const lost = unreadableValues(stored, entries);
  if (lost.length === 0) return;
  throw new KhwError(
    "KEY_MISSING",
    `this encryption-config.yaml has no key for values in etcd: ${describeStored(lost)}`,
    {
      hint: "check that the file belongs to this cluster; older versions are in the replaced-* folders beside it",
    },
  );
}

function encrypted(stored: readonly StoredValues[]): StoredValues[] {
  return stored.filter(({ provider }) => provider !== "");
}
