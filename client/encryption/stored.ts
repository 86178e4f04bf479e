import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import type { Entry } from "./config.ts";
import { writingKey } from "../pki/encryption/stage.ts";

/** Where etcd keeps core resources that do not stand under their own names. */
const places: Readonly<Record<string, string>> = {
  nodes: "minions",
  services: "services/specs",
  endpoints: "services/endpoints",
};

/** The values that are encrypted with a key that the configuration does not have: API servers that run with it cannot read them. */
export function unreadable(stored: readonly StoredValues[], entries: readonly Entry[]): StoredValues[] {
  const known = new Set(
    entries.flatMap(({ providers }) =>
      providers.flatMap((provider) =>
        provider.kind === "identity" ? [] : provider.keys.map(({ name }) => `${provider.kind} ${name}`),
      ),
    ),
  );
  return stored.filter(({ provider, key }) => provider !== "" && !known.has(`${provider} ${key}`));
}

/** The values that are not stored as they would be if they were written now. */
export function outdated(stored: readonly StoredValues[], entries: readonly Entry[]): StoredValues[] {
  const writing = new Set(
    entries.flatMap(({ providers }) => {
      const key = writingKey(providers);
      return key === undefined ? [] : [`${key.kind} ${key.name}`];
    }),
  );
  return stored.filter(({ resource, provider, key }) => {
    if (provider !== "") return !writing.has(`${provider} ${key}`);
    // The first entry that names a resource is the one that counts.
    const entry = entries.find(({ resources }) => resources.some((name) => isAt(name, resource)));
    return entry !== undefined && writingKey(entry.providers) !== undefined;
  });
}

/** Whether more is encrypted than what `outdated` can tell of: it knows of a wildcard's Secrets alone. */
export function encryptsByWildcard(entries: readonly Entry[]): boolean {
  return entries.some(
    ({ resources, providers }) =>
      writingKey(providers) !== undefined && resources.some((name) => name.startsWith("*.")),
  );
}

/** A wildcard names more than is ever encrypted, so of what stands in the clear there only Secrets are spoken of. */
function isAt(name: string, place: string): boolean {
  if (name === "*." || name === "*.*") return place === "secrets";
  const [plural = "", ...group] = name.split(".");
  return [plural, places[plural], `${group.join(".")}/${plural}`].includes(place);
}

/** "12 secrets under aescbc key1, 3 configmaps in the clear" */
export function tellStored(stored: readonly StoredValues[]): string {
  return stored
    .map(({ resource, provider, key, count }) => {
      const how = provider === "" ? "in the clear" : `under ${provider} ${key}`;
      return `${count} ${resource} ${how}`;
    })
    .join(", ");
}
