import { randomBytes } from "node:crypto";
import { KhwError } from "../../../proto/errors.ts";
import { refuse, show } from "../../../proto/validate.ts";
import { fieldOf, listOf, textAt } from "../check/yaml.ts";
import type { KmsProvider } from "../kms.ts";

/** The providers whose keys are in the encryption configuration. */
export const keyedKinds = ["aescbc", "aesgcm", "secretbox"] as const;
/**
 * The providers for a new file. aesgcm is excluded, because one of its keys may encrypt only a limited number of
 * values. This limit is too low for a key that is never rotated.
 */
export const newKinds = ["aescbc", "secretbox"] as const;
export type KeyedKind = (typeof keyedKinds)[number];

export interface Key {
  readonly name: string;
  /** The key in base64. */
  readonly secret: string;
}

export function parseKeyedKind(text: string): KeyedKind {
  return (
    keyedKinds.find((kind) => kind === text) ??
    refuse("--provider", `${show(text)} is not a provider`, keyedKinds.join(", "))
  );
}

/**
 * An item in the encryption configuration's list of providers. The API server writes values with the first provider,
 * and reads values with all providers.
 */
export type Provider = KeyedProvider | KmsProvider | { readonly kind: "identity" };

export interface KeyedProvider {
  readonly kind: KeyedKind;
  readonly keys: readonly [Key, ...Key[]];
}

/** Whether the provider's keys are in the encryption configuration. */
export function isKeyed(provider: Provider): provider is KeyedProvider {
  return provider.kind !== "identity" && provider.kind !== "kms";
}

/**
 * Creates a new key of 32 bytes, like `head -c 32 /dev/urandom | base64` in lab 06. Every provider accepts this length.
 */
export function newKey(name: string): Key {
  return { name, secret: randomBytes(32).toString("base64") };
}

/**
 * @throws KhwError CREDENTIAL_INVALID that names the field, if the provider is unknown, or if its name or key is
 * missing
 */
export function parseProvider(provider: unknown, field: string): Provider {
  if (fieldOf(provider, "identity") !== undefined) return { kind: "identity" };
  const kms = fieldOf(provider, "kms");
  if (kms !== undefined) {
    const name = textAt(kms, "name");
    if (name === undefined) throw configInvalid(`${field}.kms.name`, "is missing");
    return { kind: "kms", name, plain: provider };
  }
  const kind = keyedKinds.find((name) => fieldOf(provider, name) !== undefined);
  if (kind === undefined) throw unknownProvider(field);
  const [first, ...others] = listOf(fieldOf(provider, kind), "keys").map((key, index): Key => {
    const [name, secret] = [textAt(key, "name"), textAt(key, "secret")];
    if (name !== undefined && secret !== undefined) return { name, secret };
    throw configInvalid(`${field}.${kind}.keys[${index}]`, "has no name or no secret");
  });
  if (first === undefined) throw configInvalid(`${field}.${kind}.keys`, "is empty");
  return { kind, keys: [first, ...others] };
}

/** Returns the provider in the format of the encryption configuration. */
export function toPlain(provider: Provider): unknown {
  if (provider.kind === "identity") return { identity: {} };
  if (provider.kind === "kms") return provider.plain;
  return { [provider.kind]: { keys: provider.keys.map(({ name, secret }) => ({ name, secret })) } };
}

export function configInvalid(field: string, what: string, hint = "create the file again, as in lab 06"): KhwError {
  return new KhwError("CREDENTIAL_INVALID", `encryption-config.yaml: ${field}: ${what}`, { hint });
}

function unknownProvider(field: string): KhwError {
  return configInvalid(
    field,
    "is not a provider that khw supports",
    `use one of ${[...keyedKinds, "kms", "identity"].join(", ")}`,
  );
}
