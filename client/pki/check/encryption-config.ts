import { parseKubernetesVersion } from "../../../proto/kubernetes-versions.ts";
import { decodeBase64 } from "./base64.ts";
import { type KmsRules, kmsIsSound, kmsIsUsed, kmsNamesDiffer } from "./kms.ts";
import type { Kms } from "../kms.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldOf, isMap, listOf, readYaml, textAt, whyNoText } from "./yaml.ts";

/**
 * The key lengths, in bytes, that the API server accepts for each provider. The provider kms has no keys in the file.
 */
const keySizes: Readonly<Record<string, readonly number[]>> = {
  aescbc: [16, 24, 32],
  aesgcm: [16, 24, 32],
  secretbox: [32],
};
const providers = [...Object.keys(keySizes), "kms", "identity"];

/**
 * The kinds of encryption configuration that the API server reads, each with its apiVersion. Lab 06 uses the first
 * kind, which every release reads.
 */
const groups: Readonly<Record<string, string>> = {
  EncryptionConfig: "v1",
  EncryptionConfiguration: "apiserver.config.k8s.io/v1",
};

/** The first minor release that accepts `*.` (all core resources) and `*.*` (all resources). */
const wildcardsFrom = 27;
const makeAgain = "create it again with khw-client pki create, or as in lab 06";

export interface EncryptionUse {
  readonly kubernetesVersion: string;
  /** The KMS plugin in khw.yaml. */
  readonly kms?: Kms | undefined;
}

/**
 * Checks that Secrets are encrypted before they are stored. Also checks that this release of the API server accepts
 * every entry.
 */
export function* encryptionConfigIsSound(
  file: string,
  content: Uint8Array,
  { kubernetesVersion: version, kms }: EncryptionUse,
): Findings {
  const problem = (what: string, field?: string): Problem =>
    field === undefined ? { file, what, remedy: makeAgain } : { file, field, what, remedy: makeAgain };
  const reading = readYaml(content);
  if (reading.problem !== undefined) return yield problem(reading.problem);
  const { value: root, doubles } = reading;
  for (const key of doubles) {
    const what = "occurs twice: Kubernetes uses the last value, and releases that parse strictly reject the file";
    yield { ...problem(what, key), severity: "warning" };
  }
  const kind = textAt(root, "kind");
  const wanted = groups[kind ?? ""];
  if (wanted === undefined) yield problem(`must be one of ${Object.keys(groups).join(", ")}`, "kind");
  else if (textAt(root, "apiVersion") !== wanted) {
    yield problem(`must be ${wanted} for kind ${kind ?? ""}`, "apiVersion");
  }
  const { minor } = parseKubernetesVersion("kubernetes.version", version);
  const rules: KmsRules = { minor, problem };
  const entries = listOf(root, "resources");
  // "secrets." means the same as "secrets": a name with the empty group.
  const secrets = minor >= wildcardsFrom ? ["secrets", "secrets.", "*.", "*.*"] : ["secrets", "secrets."];
  const first = entries.findIndex((entry) => secrets.some((name) => listOf(entry, "resources").includes(name)));
  if (first === -1) yield problem("does not include secrets", "resources");
  for (const [index, entry] of entries.entries()) {
    yield* entryIsSound(entry, { place: `resources[${index}]`, holdsSecrets: index === first, rules });
  }
  yield* kmsNamesDiffer(entries, rules);
  yield* kmsIsUsed(entries, { kms, file });
}

interface EntryContext {
  readonly place: string;
  readonly holdsSecrets: boolean;
  readonly rules: KmsRules;
}

function* entryIsSound(entry: unknown, { place, holdsSecrets, rules }: EntryContext): Findings {
  const { problem } = rules;
  const names = listOf(entry, "resources");
  if (names.length === 0) yield problem("is empty", `${place}.resources`);
  if (names.some((name) => typeof name !== "string"))
    yield problem("contains a value that is not a string", `${place}.resources`);
  const found = listOf(entry, "providers");
  if (found.length === 0) yield problem("is empty", `${place}.providers`);
  for (const [position, provider] of found.entries()) {
    const field = `${place}.providers[${position}]`;
    const named = providers.filter((name) => fieldOf(provider, name) !== undefined);
    const [name] = named;
    const value = name === undefined ? undefined : fieldOf(provider, name);
    if (name === undefined && fieldOf(provider, "identity") === undefined && hasIdentity(provider)) {
      yield problem("is identity without braces, which Kubernetes reads as empty: write identity: {}", field);
    } else if (name === undefined || named.length > 1) {
      yield problem(`must have exactly one of ${providers.join(", ")}`, field);
    } else if (!isMap(value)) yield problem("is not a map", `${field}.${name}`);
    else if (name === "identity") {
      if (position > 0 || !holdsSecrets) continue;
      const what = "is identity, so secrets are stored unencrypted; put it last";
      yield { ...problem(what, field), severity: "warning" };
    } else if (name === "kms") yield* kmsIsSound(value, `${field}.kms`, rules);
    else yield* keysAreSound(value, `${field}.${name}`, { sizes: keySizes[name] ?? [], problem });
  }
}

function hasIdentity(provider: unknown): boolean {
  return isMap(provider) && Object.hasOwn(provider, "identity");
}

interface KeyRules {
  readonly sizes: readonly number[];
  readonly problem: (what: string, field: string) => Problem;
}

function* keysAreSound(provider: unknown, place: string, { sizes, problem }: KeyRules): Findings {
  const keys = listOf(provider, "keys");
  if (keys.length === 0) yield problem("has no keys", place);
  const names = keys.map((key) => textAt(key, "name"));
  for (const [number, key] of keys.entries()) {
    const field = `${place}.keys[${number}]`;
    const name = names[number];
    if (name === undefined) yield problem(whyNoText(key, "name"), `${field}.name`);
    else if (names.indexOf(name) !== number) {
      yield problem(
        "is also the name of another key: the API server would be unable to read values encrypted with this key",
        `${field}.name`,
      );
    }
    const text = textAt(key, "secret");
    const secret = decodeBase64(text ?? "");
    if (secret !== undefined && sizes.includes(secret.length)) continue;
    if (text === undefined) yield problem(whyNoText(key, "secret"), `${field}.secret`);
    else if (secret === undefined) yield problem(whyNotBase64(text), `${field}.secret`);
    else yield problem(`has ${secret.length} bytes, not ${sizes.join(" or ")}`, `${field}.secret`);
  }
}

function whyNotBase64(text: string): string {
  return decodeBase64(text.replaceAll(/\s/g, "")) === undefined
    ? "is not base64"
    : "is not base64 that Go accepts: it contains a space or a line break";
}
