import { decodeBase64 } from "./base64.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldOf, listOf, readYaml, textOf } from "./yaml.ts";

/** The lengths in bytes that the API server accepts, by provider; kms has no keys of its own. */
const keySizes: Readonly<Record<string, readonly number[]>> = {
  aescbc: [16, 24, 32],
  aesgcm: [16, 24, 32],
  secretbox: [32],
};

/** The API server reads the older kind of the lab beside the documented one, in either group. */
const kinds = ["EncryptionConfig", "EncryptionConfiguration"];
const versions = ["v1", "apiserver.config.k8s.io/v1"];

const makeAgain = "make it again, as in lab 06";

/** Secrets are encrypted before they are stored, with keys that the API server accepts. */
export function* encryptionConfigIsSound(file: string, content: Uint8Array): Findings {
  const problem = (what: string, field?: string): Problem =>
    field === undefined ? { file, what, remedy: makeAgain } : { file, field, what, remedy: makeAgain };
  const root = readYaml(content);
  if (root === undefined) return yield problem("is not YAML");
  if (!kinds.includes(textOf(root, "kind") ?? "")) yield problem(`is none of ${kinds.join(", ")}`, "kind");
  if (!versions.includes(textOf(root, "apiVersion") ?? ""))
    yield problem(`is none of ${versions.join(", ")}`, "apiVersion");

  const resources = listOf(root, "resources");
  const index = resources.findIndex((entry) => listOf(entry, "resources").includes("secrets"));
  if (index === -1) return yield problem("encrypts no secrets", "resources");
  const field = `resources[${index}].providers`;
  const providers = listOf(resources[index], "providers");
  const [first] = providers;
  if (first === undefined) return yield problem("is empty", field);
  if (fieldOf(first, "identity") !== undefined) {
    yield problem("is identity: secrets would be stored in the clear; let it come last", `${field}[0]`);
  }
  for (const [position, provider] of providers.entries()) {
    for (const [name, sizes] of Object.entries(keySizes)) {
      if (fieldOf(provider, name) === undefined) continue;
      const keys = listOf(fieldOf(provider, name), "keys");
      if (keys.length === 0) yield problem("has no keys", `${field}[${position}].${name}`);
      for (const [number, key] of keys.entries()) {
        const secret = decodeBase64(textOf(key, "secret") ?? "");
        if (secret !== undefined && sizes.includes(secret.length)) continue;
        const what = secret === undefined ? "is not base64" : `has ${secret.length} bytes, not ${sizes.join(" or ")}`;
        yield problem(what, `${field}[${position}].${name}.keys[${number}].secret`);
      }
    }
  }
}
