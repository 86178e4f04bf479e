import { KhwError } from "../../proto/errors.ts";
import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import type { Kms } from "../pki/kms.ts";
import type { KeyedKind, Provider } from "../pki/encryption/provider.ts";
import type { NodeDifference } from "../rollout/differences.ts";
import { type EncryptionConfig, type EncryptionEntry, parseEncryptionConfig } from "./config.ts";
import { describeStored, encryptsByWildcard, outdated, unreadableValues } from "./stored.ts";

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
  /**
   * The provider for the new key; if absent, the configuration's current provider. A value also ends the use of a KMS
   * plugin.
   */
  readonly kind?: KeyedKind | undefined;
  /** The KMS plugin that encrypts all values; if absent, keys in the file encrypt them. */
  readonly kms?: Kms | undefined;
  readonly now: Date;
}

const configStep = "credential/encryption-config.yaml";
const serverStep = "service/kube-apiserver";

/**
 * Whether a rollout of the configuration was interrupted. In that case, some node lacks the file, or all nodes have the
 * file but an API server was not restarted.
 */
export function isRolloutUnfinished(differences: readonly NodeDifference[]): boolean {
  const steps = differences.map(({ step }) => step);
  if (steps.includes(configStep)) return true;
  return steps.includes(serverStep) && steps.every((step) => step === serverStep || step.startsWith("ready/"));
}

/** Writes the changed configuration and returns it. Returns the old configuration if there is no change. */
export async function change(
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

/** Rewrites every value that the configuration would store differently. With `always`, rewrites every value. */
export async function rewriteAll(
  parts: RotationParts,
  entries: readonly EncryptionEntry[],
  { always = false }: { readonly always?: boolean } = {},
): Promise<void> {
  if (!always && !encryptsByWildcard(entries) && outdated(await parts.stored(), entries).length === 0) return;
  await parts.rewrite(entries.flatMap(({ resources }) => resources));
  const left = outdated(await parts.stored(), entries);
  if (left.length === 0) return;
  throw new KhwError(
    "VERIFY_FAILED",
    `some values were not rewritten, so the old keys are kept: ${describeStored(left)}`,
    {
      hint: "delete objects that the API no longer serves, or make the API serve them again; then run the command again",
    },
  );
}

/** @throws KhwError KEY_MISSING if values need a key or a plugin that the configuration lacks */
export function refuseUnreadable(stored: readonly StoredValues[], entries: readonly EncryptionEntry[]): void {
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

/** Prints the result of the command. */
export async function conclude(parts: RotationParts, addition: string): Promise<void> {
  const told = describeStored(encrypted(await parts.stored()));
  parts.note(`done: ${told === "" ? "etcd has no encrypted values yet" : told}; ${addition}`);
}
