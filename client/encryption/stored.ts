import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import type { EncryptionEntry } from "./config.ts";
import { writingKey } from "../pki/encryption/stage.ts";

/** The core resources that etcd stores under a different name. */
const places: Readonly<Record<string, string>> = {
  nodes: "minions",
  services: "services/specs",
  endpoints: "services/endpoints",
};

/**
 * Returns the values encrypted with a key or a plugin that the configuration lacks. API servers with this configuration cannot read
 * them.
 */
export function unreadableValues(stored: readonly StoredValues[], entries: readonly EncryptionEntry[]): StoredValues[] {
  const known = new Set(
    entries.flatMap(({ providers }) =>
      providers.flatMap((provider) => {
        if (provider.kind === "kms") return `kms ${provider.name}`;
        return provider.kind === "identity" ? [] : provider.keys.map(({ name }) => `${provider.kind} ${name}`);
      }),
    ),
  );
  return stored.filter(({ provider, key }) => provider !== "" && !known.has(`${provider} ${key}`));
}

/** Returns the values that would be stored differently if they were written now. */
export function outdated(stored: readonly StoredValues[], entries: readonly EncryptionEntry[]): StoredValues[] {
  const writing = new Set(
    entries.flatMap(({ providers }) => {
      const key = writingKey(providers);
      return key === undefined ? [] : [`${key.kind} ${key.name}`];
    }),
  );
  return stored.filter(({ resource, provider, key }) => {
    if (provider !== "") return !writing.has(`${provider} ${key}`);
    // The first entry that lists the resource applies.
    const entry = entries.find(({ resources }) => resources.some((name) => isAt(name, resource)));
    return entry !== undefined && writingKey(entry.providers) !== undefined;
  });
}

/**
 * Whether resources that `outdated` does not check may be encrypted. For a wildcard, `outdated` checks only Secrets.
 */
export function encryptsByWildcard(entries: readonly EncryptionEntry[]): boolean {
  return entries.some(
    ({ resources, providers }) =>
      writingKey(providers) !== undefined && resources.some((name) => name.startsWith("*.")),
  );
}

/**
 * A wildcard also covers resources that are never encrypted. Therefore, only Secrets count as unencrypted values of a
 * wildcard entry.
 */
function isAt(name: string, place: string): boolean {
  if (name === "*." || name === "*.*") return place === "secrets";
  const [plural = "", ...group] = name.split(".");
  return [plural, places[plural], `${group.join(".")}/${plural}`].includes(place);
}

/** Describes the counts: "12 secrets encrypted with aescbc key1, 3 configmaps not encrypted". */
export function describeStored(stored: readonly StoredValues[]): string {
  return stored
    .map(({ resource, provider, key, count }) => {
      const how = provider === "" ? "not encrypted" : `encrypted with ${provider} ${key}`;
      return `${count} ${resource} ${how}`;
    })
    .join(", ");
}
