import { isKeyed, type Key, type KeyedKind, type Provider } from "./provider.ts";

/**
 * The stage of a rotation, judged only by the configuration:
 * - "settled": no rotation is in progress. With a KMS plugin, this is the only stage, because kms-move.ts needs no
 *   stage to continue a change to or from a plugin;
 * - "added": the new key exists and can be used for reading, but an older key is used for writing;
 * - "first": the new key is used for writing, and older keys can still be used for reading.
 */
export type Stage = "settled" | "added" | "first";

type Providers = readonly Provider[];

/** The names of khw's own keys contain their creation time, which distinguishes "added" from "first". */
const ownName = /^key-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;

/** Returns a key name such as "key-20260131T120000Z". */
export function keyName(now: Date): string {
  return `key-${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}

/**
 * Returns a key name that is newer than the names of all of khw's keys, even if a clock was wrong when those keys were
 * named.
 */
export function newestKeyName(all: readonly Providers[], now: Date): string {
  const newest = newestOf(all.flat());
  const after = newest === undefined ? 0 : timeOf(newest.name) + 1000;
  return keyName(new Date(Math.max(now.getTime(), after)));
}

export function isOwnName(name: string): boolean {
  return !Number.isNaN(timeOf(name));
}

/** Returns the time when one of khw's own keys was created, in milliseconds; NaN for other names. */
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

/** Returns the stage of the unfinished rotation; "settled" if no list has an unfinished rotation. */
export function stageOfAll(all: readonly Providers[]): Stage {
  const stages = new Set(all.map(stageOf));
  return (["added", "first"] as const).find((stage) => stages.has(stage)) ?? "settled";
}

/**
 * Adds the new key, which is used for reading but not yet for writing. Each kind appears at most once in the list,
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

/** Returns the default kind of a new key: the kind of the current keys, or the lab's kind if no key exists. */
export function currentKind(providers: Providers): KeyedKind {
  return providers.find(isKeyed)?.kind ?? "aescbc";
}

/** Makes the newest key the key for writing. */
export function promoteKey(providers: Providers): Providers {
  const newest = newestOf(providers);
  const index = providers.findIndex((provider) => has(provider, newest));
  const holder = providers[index];
  if (newest === undefined || holder === undefined || !isKeyed(holder)) return providers;
  const keys = [newest, ...holder.keys.filter((key) => key !== newest)] as const;
  return toFirst(providers.with(index, { kind: holder.kind, keys: [...keys] }), index);
}

/** Makes the provider at this index the provider for writing. */
export function toFirst(providers: Providers, index: number): Providers {
  const others = providers.toSpliced(index, 1);
  // The provider for unencrypted values comes last, even if it was first before.
  const clear = others.filter(({ kind }) => kind === "identity");
  return [...providers.slice(index, index + 1), ...others.filter(({ kind }) => kind !== "identity"), ...clear];
}

/** Keeps only the key for writing. Unencrypted values stay readable if they were readable before. */
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
