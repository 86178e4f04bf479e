import { type Document, parseDocument } from "yaml";
import { listOf } from "../pki/check/yaml.ts";
import { configInvalid, parseProvider, type Provider, toPlain } from "../pki/encryption/provider.ts";

/** Specifies how the values of some resources are stored. */
export interface EncryptionEntry {
  /** The names of the resources, for example "secrets" and "widgets.example.com". */
  readonly resources: readonly string[];
  readonly providers: readonly Provider[];
  /** The entry's index in the file's list. */
  readonly index: number;
}

/** The parts of the encryption configuration whose keys are rotated. */
export interface EncryptionConfig {
  /** The entries with keys, and the entry for Secrets. All other entries are unencrypted and stay unchanged. */
  readonly entries: readonly EncryptionEntry[];
  /** Returns the file's text with new providers in some entries. All other text is kept, including comments. */
  readonly withProviders: (change: (entry: EncryptionEntry) => readonly Provider[]) => string;
}

const kinds = ["EncryptionConfig", "EncryptionConfiguration"];

/** @throws KhwError CREDENTIAL_INVALID that names the field, but never quotes any part of a key */
export function parseEncryptionConfig(text: string): EncryptionConfig {
  const document = readDocument(text);
  const root: unknown = document?.toJS();
  if (document === undefined || typeof root !== "object" || root === null)
    throw configInvalid("the file", "is not YAML");
  if (!kinds.includes(String(Reflect.get(root, "kind"))))
    throw configInvalid("kind", `is not one of ${kinds.join(", ")}`);
  const entries = listOf(root, "resources").flatMap((entry, index): EncryptionEntry[] => {
    const resources = listOf(entry, "resources").map(String);
    const found = listOf(entry, "providers");
    const providers = found.map((provider, number) =>
      parseProvider(provider, `resources[${index}].providers[${number}]`),
    );
    const encrypts = providers.some(({ kind }) => kind !== "identity") || resources.includes("secrets");
    return encrypts ? [{ resources, providers, index }] : [];
  });
  if (entries.length === 0) throw configInvalid("resources", "does not encrypt anything, and does not list secrets");
  return {
    entries,
    withProviders: (change) => {
      const copy = document.clone();
      for (const entry of entries) {
        const providers = change(entry);
        if (providers === entry.providers) continue;
        copy.setIn(["resources", entry.index, "providers"], copy.createNode(providers.map(toPlain)));
      }
      return copy.toString({ lineWidth: 0 });
    },
  };
}

/** Returns undefined for text that is not YAML. The parser's own message might quote a key. */
function readDocument(text: string): Document | undefined {
  const document = parseDocument(text, { logLevel: "silent" });
  return document.errors.length === 0 ? document : undefined;
}
