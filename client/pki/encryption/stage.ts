import { isKeyed, type Key, type KeyedKind, type Provider } from "./provider.ts";

/**
 * The stage of a key rotation, according to the configuration alone:
 * - "settled": no rotation is in progress. With a KMS plugin, this is always the stage, because kms-move.ts does not
 *   need a stage to continue its work;
 * - "added": the API server can read with the new key, but still writes with an older key;
 * - "first": the API server writes with the new key, and can still read with older keys.
 */
export type Stage = "settled" | "added" | "first";

type Providers = readonly Provider[];

/** The name of a key that khw created. The name contains the creation time, so khw can find the newest key. */
const ownName = /^key-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;

/** Returns a key name such as "key-20260131T120000Z". */
export function keyName(now: Date): string {
  return `key-${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}

/**
 * Returns a key name with a later time than the names of all existing keys, even if a wrong clock determined those
 * names.
 */
export function newestKeyName(all: readonly Providers[], now: Date): string {
  const newest = newestOf(all.flat());
  const after = newest === undefined ? 0 : timeOf(newest.name) + 1000;
  return keyName(new Date(Math.max(now.getTime(), after)));
}

export function isOwnName(name: string): boolean {
  return !Number.isNaN(timeOf(name));
}

/** Returns the creation time in the name of a key, in milliseconds; NaN if khw did not create the key. */
function timeOf(name: string): number {
  return ownName.test(name) ? Date.parse(name.replace(ownName, "$1-$2-$3T$4:$5:$6Z")) : Number.NaN;
}

export function stageOf(providers: Providers): Stage {
  if (providers.some(({ kind }) => kind === "kms")) return "settled";
  const newest = newestOf(providers);
  if (newest === undefined) return "settled";
  if (!writes(providers, newest)) return "added";
  return keysOf(providers).length > 1 ? "first" : "settled";
}

/**
 * Returns the earliest stage of any unfinished rotation; "settled" if no list of providers has an unfinished rotation.
 */
export function stageOfAll(all: readonly Providers[]): Stage {
  const stages = new Set(all.map(stageOf));
  return (["added", "first"] as const).find((stage) => stages.has(stage)) ?? "settled";
}

/**
 * Adds a key that the API server uses for reading, but not yet for writing. Each kind appears at most once in the list,
 * because the API server uses only the first provider of a kind to read values of that kind.
 */
export function addKey(providers: Providers, { kind, key }: { kind: KeyedKind; key: Key }): Providers {
  const [first, ...others] = providers;
  if (!providers.some((provider) => provider.kind === kind)) {
    return [...providers.slice(0, 1), { kind, keys: [key] }, ...others];
  }
  return providers.map((provider) => {
    if (!isKeyed(provider) || provider.kind !== kind) return provider;
    const [current, ...older] = provider.keys;
    return provider === first ? { kind, keys: [current, key, ...older] } : { kind, keys: [key, current, ...older] };
  });
}

/**
 * Returns the default provider for a new key: the provider of the current keys, or the lab's provider if no key exists.
 */
export function currentKind(providers: Providers): KeyedKind {
  return providers.find(isKeyed)?.kind ?? "aescbc";
}

/** Moves the newest key to the first position, so that the API server writes with it. */
export function promoteKey(providers: Providers): Providers {
  const newest = newestOf(providers);
  const index = providers.findIndex((provider) => has(provider, newest));
  const holder = providers[index];
  if (newest === undefined || holder === undefined || !isKeyed(holder)) return providers;
  const keys = [newest, ...holder.keys.filter((key) => key !== newest)] as const;
  return toFirst(providers.with(index, { kind: holder.kind, keys: [...keys] }), index);
}

/** Moves the provider at this index to the first position, so that the API server writes with it. */
export function toFirst(providers: Providers, index: number): Providers {
  const others = providers.toSpliced(index, 1);
  // The provider for unencrypted values moves to the end, even if it was the first provider.
  const clear = others.filter(({ kind }) => kind === "identity");
  return [...providers.slice(index, index + 1), ...others.filter(({ kind }) => kind !== "identity"), ...clear];
}

/** Removes all keys except the key for writing. Unencrypted values stay readable if they were readable before. */
export function dropOldKeys(providers: Providers): Providers {
  const [first, ...others] = providers;
  if (first === undefined || !isKeyed(first)) return providers;
  return [{ kind: first.kind, keys: [first.keys[0]] }, ...others.filter(({ kind }) => kind === "identity")];
}

/** Returns the key or the plugin for writing; undefined if values are stored unencrypted. */
export function writingKey([first]: Providers):
  | { readonly kind: KeyedKind | "kms"; readonly name: string }
  | undefined {
  if (first === undefined || first.kind === "identity") return undefined;
  return { kind: first.kind, name: isKeyed(first) ? first.keys[0].name : first.name };
}

function keysOf(providers: Providers): Key[] {
  return providers.filter(isKeyed).flatMap(({ keys }) => keys);
}

function newestOf(providers: Providers): Key | undefined {
  return keysOf(providers)
    .filter(({ name }) => isOwnName(name))
    .toSorted((a, b) => (a.name < b.name ? 1 : -1))[0];
}

function writes([first]: Providers, key: Key): boolean {
  return first !== undefined && isKeyed(first) && first.keys[0] === key;
}

function has(provider: Provider, key: Key | undefined): boolean {
  return isKeyed(provider) && provider.keys.some((candidate) => candidate === key);
}
