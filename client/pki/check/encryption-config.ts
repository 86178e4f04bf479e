import { parseKubernetesVersion } from "../../../proto/kubernetes-versions.ts";
import { decodeBase64 } from "./base64.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldOf, listOf, readYaml, textOf } from "./yaml.ts";

/** The lengths in bytes that the API server accepts, by provider; kms has no keys of its own. */
const keySizes: Readonly<Record<string, readonly number[]>> = {
  aescbc: [16, 24, 32],
  aesgcm: [16, 24, 32],
  secretbox: [32],
};
const providers = [...Object.keys(keySizes), "kms", "identity"];

/** The kinds that the API server reads, each in its own group: the lab's is a leftover of older docs, and every release reads it. */
const groups: Readonly<Record<string, string>> = {
  EncryptionConfig: "v1",
  EncryptionConfiguration: "apiserver.config.k8s.io/v1",
};

/** From this minor release on a resource may be `*.` (the core group's) or `*.*` (all). */
const wildcardsFrom = 27;
/** From this one on the API server takes KMS v2 without a feature gate, and from that one on v1 only with one. */
const [kmsV2From, kmsV1Until] = [27, 29];

const makeAgain = "make it again: khw-client pki create, or as in lab 06";

/** Secrets are encrypted before they are stored, with keys that the API server of the release accepts. */
export function* encryptionConfigIsSound(file: string, content: Uint8Array, version: string): Findings {
  const problem = (what: string, field?: string): Problem =>
    field === undefined ? { file, what, remedy: makeAgain } : { file, field, what, remedy: makeAgain };
  const root = readYaml(content);
  if (root === undefined) return yield problem("is not YAML");
  const [kind, group] = [textOf(root, "kind") ?? "", textOf(root, "apiVersion") ?? ""];
  const wanted = groups[kind];
  if (wanted === undefined) yield problem(`is none of ${Object.keys(groups).join(", ")}`, "kind");
  else if (group !== wanted) yield problem(`is not ${wanted}, which ${kind} belongs to`, "apiVersion");

  const { minor } = parseKubernetesVersion("kubernetes.version", version);
  const secrets = minor >= wildcardsFrom ? ["secrets", "*.", "*.*"] : ["secrets"];
  const resources = listOf(root, "resources");
  const index = resources.findIndex((entry) => secrets.some((name) => listOf(entry, "resources").includes(name)));
  if (index === -1) return yield problem("encrypts no secrets", "resources");
  const field = `resources[${index}].providers`;
  const found = listOf(resources[index], "providers");
  if (found.length === 0) return yield problem("is empty", field);
  for (const [position, provider] of found.entries()) {
    const place = `${field}[${position}]`;
    const named = providers.filter((name) => fieldOf(provider, name) !== undefined);
    const [name] = named;
    if (name === undefined || named.length > 1) {
      yield problem(`must hold just one of ${providers.join(", ")}`, place);
    } else if (name === "identity") {
      if (position > 0) continue;
      const what = "is identity: secrets are stored in the clear; let it come last";
      yield { ...problem(what, place), severity: "warning" };
    } else if (name === "kms") {
      const what = kmsProblem(textOf(fieldOf(provider, name), "apiVersion") ?? "v1", minor);
      if (what !== undefined) yield problem(what, `${place}.kms.apiVersion`);
    } else yield* keysAreSound(fieldOf(provider, name), `${place}.${name}`, { sizes: keySizes[name] ?? [], problem });
  }
}

interface KeyRules {
  readonly sizes: readonly number[];
  readonly problem: (what: string, field: string) => Problem;
}

function* keysAreSound(provider: unknown, place: string, { sizes, problem }: KeyRules): Findings {
  const keys = listOf(provider, "keys");
  if (keys.length === 0) yield problem("has no keys", place);
  for (const [number, key] of keys.entries()) {
    if (textOf(key, "name") === undefined) yield problem("is missing", `${place}.keys[${number}].name`);
    const secret = decodeBase64(textOf(key, "secret") ?? "");
    if (secret !== undefined && sizes.includes(secret.length)) continue;
    const what = secret === undefined ? "is not base64" : `has ${secret.length} bytes, not ${sizes.join(" or ")}`;
    yield problem(what, `${place}.keys[${number}].secret`);
  }
}

function kmsProblem(version: string, minor: number): string | undefined {
  if (version === "v2") return minor < kmsV2From ? `is v2, which 1.${minor} does not take` : undefined;
  return minor >= kmsV1Until ? `is ${version}, which 1.${minor} takes only with the feature gate KMSv1` : undefined;
}
