import { KhwError } from "../../proto/errors.ts";
import { type Kms, toKmsProvider } from "../pki/kms.ts";
import { configInvalid, isKeyed, type KeyedKind, newKey, type Provider } from "../pki/encryption/provider.ts";
import { addKey, dropOldKeys, isOwnName, newestKeyName, toFirst } from "../pki/encryption/stage.ts";
import { fieldOf, textAt } from "../pki/check/yaml.ts";
import { refuseDifferences } from "../rollout/differences.ts";
import { type EncryptionConfig, type EncryptionEntry, parseEncryptionConfig } from "./config.ts";
import {
  change,
  conclude,
  isRolloutUnfinished,
  refuseUnreadable,
  rewriteAll,
  type RotateOptions,
  type RotationParts,
} from "./stages.ts";

type Providers = readonly Provider[];

/**
 * Makes a KMS plugin encrypt all values, or rewrites all values with the plugin's current key. First adds the plugin
 * for decryption and updates every API server. Then makes the plugin the first provider, updates every API server
 * again, and rewrites all values. The keys in the file stay, so that older snapshots can still be read. Another run
 * continues an interrupted change.
 * @throws KhwError as `rotate` does
 */
export async function rotateToKms(parts: RotationParts, kms: Kms): Promise<void> {
  let config = parseEncryptionConfig(await parts.read());
  refuseSeveral(config);
  refuseUnreadable(await parts.stored(), config.entries);
  const wanted = toKmsProvider(kms);
  refuseOlderApi(config, wanted.name);
  const added = parseEncryptionConfig(config.withProviders(({ providers }) => withKms(providers, wanted)));
  const isThere = sameEntries(added, config);
  if (!isThere || isFirst(config, wanted.name))
    await refuseOtherDifferences(parts, { unfinished: isThere, unnamed: unnamedPlugin(config, kms) });
  if (!isThere) {
    config = await change(parts, config, ({ providers }) => withKms(providers, wanted));
    parts.note(`the KMS plugin ${kms.name} is added; every API server is being updated to decrypt with it`);
  } else if (isFirst(config, wanted.name)) {
    parts.note(`the key is in the KMS of ${kms.name}; all values are rewritten with its current key`);
  } else parts.note("the change to the KMS plugin is already in progress; this run continues it");

  if (!isFirst(config, wanted.name)) {
    await parts.roll();
    config = await change(parts, config, ({ providers }) => toFirst(providers, indexOf(providers, wanted.name)));
    parts.note("the KMS plugin is now first in the file; every API server is being updated to encrypt with it");
  }
  await parts.roll();
  await rewriteAll(parts, config.entries, { always: true });
  const last = await change(parts, config, ({ providers }) =>
    providers.filter((provider) => provider.kind !== "kms" || provider.name === wanted.name),
  );
  if (last !== config) await parts.roll();
  await conclude(parts, "the keys in encryption-config.yaml stay, because older snapshots need them");
}

/**
 * Makes a key in the file encrypt all values again, and removes the KMS plugin from the file. Uses khw's own key of
 * this kind if the file has one; otherwise adds a key. Until the change is complete, the plugin must run and
 * encryption.kms must stay set. Another run continues an interrupted change.
 * @throws KhwError as `rotate` does
 */
export async function rotateFromKms(
  parts: RotationParts,
  { kind, kms, now }: Pick<RotateOptions, "kms" | "now"> & { readonly kind: KeyedKind },
): Promise<void> {
  let config = parseEncryptionConfig(await parts.read());
  refuseUnreadable(await parts.stored(), config.entries);
  const all = config.entries.map(({ providers }) => providers);
  const indexOfOwn = (providers: Providers): number =>
    providers.findIndex((found) => isKeyed(found) && found.kind === kind && isOwnName(found.keys[0].name));
  const lacks = (providers: Providers): boolean => indexOfOwn(providers) === -1;
  if (all.some((providers) => providers[0]?.kind === "kms")) {
    const isThere = !all.some(lacks);
    await refuseOtherDifferences(parts, { unfinished: isThere, unnamed: unnamedPlugin(config, kms) });
    if (!isThere) {
      const name = newestKeyName(all, now);
      config = await change(parts, config, ({ providers }) =>
        lacks(providers) ? addKey(providers, { kind, key: newKey(name) }) : providers,
      );
      parts.note("a new key is added; every API server is being updated to decrypt with it");
    }
    await parts.roll();
    config = await change(parts, config, ({ providers }) =>
      providers[0]?.kind === "kms" ? toFirst(providers, indexOfOwn(providers)) : providers,
    );
    parts.note("the key is now first in the file; every API server is being updated to encrypt with it");
  } else parts.note("the change from the KMS plugin is already in progress; this run continues it");
  await parts.roll();
  await rewriteAll(parts, config.entries);
  const last = await change(parts, config, ({ providers }) => dropOldKeys(providers));
  if (last !== config) {
    parts.note("the KMS plugin is no longer used and is being removed from the file");
    await parts.roll();
  }
  const rest = kms === undefined ? "" : "; remove encryption.kms from khw.yaml";
  await conclude(parts, `the plugin is no longer needed${rest}`);
}

/** Whether a KMS plugin is in the configuration. */
export function hasKms({ entries }: EncryptionConfig): boolean {
  return entries.some(({ providers }) => providers.some(({ kind }) => kind === "kms"));
}

/** Adds the plugin for decryption, or replaces the settings of the plugin with the same name. */
function withKms(providers: Providers, wanted: Provider & { readonly name: string }): Providers {
  const index = indexOf(providers, wanted.name);
  return index === -1 ? providers.toSpliced(1, 0, wanted) : providers.with(index, wanted);
}

function indexOf(providers: Providers, name: string): number {
  return providers.findIndex((provider) => provider.kind === "kms" && provider.name === name);
}

function isFirst({ entries }: EncryptionConfig, name: string): boolean {
  return entries.every(({ providers }) => indexOf(providers, name) === 0);
}

function sameEntries(one: EncryptionConfig, other: EncryptionConfig): boolean {
  return JSON.stringify(one.entries) === JSON.stringify(other.entries);
}

/** The API server accepts each plugin name only once in the whole file. */
function refuseSeveral({ entries }: EncryptionConfig): void {
  const places = entries.map(({ index }: EncryptionEntry) => `resources[${index}]`);
  if (places.length === 1) return;
  throw configInvalid(
    places.join(", "),
    "encrypt with keys of their own, but a KMS plugin can occur only once in the file",
    "move their resources into one entry, run khw-client bootstrap, then run the command again",
  );
}

/** Values encrypted through v1 of the plugin API cannot be read through v2 under the same name. */
function refuseOlderApi({ entries }: EncryptionConfig, name: string): void {
  const plain = entries
    .flatMap(({ providers }) => providers)
    .find((found) => found.kind === "kms" && found.name === name);
  if (plain?.kind !== "kms" || isV2(plain.plain)) return;
  throw configInvalid(
    `the KMS plugin ${name}`,
    "uses v1 of the plugin API",
    "choose another name in encryption.kms.name; the command then moves all values to v2",
  );
}

/** Returns the name of a v2 plugin that is in the file but not in khw.yaml. */
function unnamedPlugin({ entries }: EncryptionConfig, kms: Kms | undefined): string | undefined {
  const found = entries
    .flatMap(({ providers }) => providers)
    .find((provider) => provider.kind === "kms" && isV2(provider.plain) && provider.name !== kms?.name);
  return found?.kind === "kms" ? found.name : undefined;
}

function isV2(plain: unknown): boolean {
  return textAt(fieldOf(plain, "kms"), "apiVersion") === "v2";
}

/**
 * Only the file itself may differ on the nodes, and only if an earlier run was interrupted. If khw.yaml no longer names
 * the plugin, the API server's unit differs too. In that case, a bootstrap would stop the supervision of the plugin.
 */
async function refuseOtherDifferences(
  parts: RotationParts,
  { unfinished, unnamed }: { readonly unfinished: boolean; readonly unnamed: string | undefined },
): Promise<void> {
  const differences = await parts.differences();
  if (unfinished && isRolloutUnfinished(differences)) return;
  const [first] = differences;
  if (first === undefined || unnamed === undefined) return refuseDifferences(differences);
  const message = `${first.step}: ${first.what}; the file uses the KMS plugin ${unnamed}, which khw.yaml does not name`;
  throw new KhwError("NODES_DIFFER", message, {
    node: first.node,
    hint: `set encryption.kms to ${unnamed} in khw.yaml again; then, to stop using this plugin, run khw-client encryption rotate --provider secretbox`,
  });
}

/** @throws KhwError INVALID_ARGUMENT if a provider is given, but khw.yaml names a plugin that the file does not use */
export function refuseContradiction(kms: Kms | undefined, kind: KeyedKind | undefined): void {
  if (kms === undefined || kind === undefined) return;
  const message = `--provider ${kind} contradicts encryption.kms: the file does not use the KMS plugin ${kms.name}`;
  throw new KhwError("INVALID_ARGUMENT", message, {
    hint: "to move to the plugin, leave out --provider; to keep a key in the file, remove encryption.kms from khw.yaml",
  });
}
