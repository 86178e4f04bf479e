import {
  type Document,
  type DocumentOptions,
  isScalar,
  parseAllDocuments,
  type ParseOptions,
  type SchemaOptions,
  visit,
} from "yaml";

/** A YAML value as Kubernetes reads it, or a description of the fault. The description quotes only key names. */
export type YamlReading =
  | { readonly value: unknown; readonly doubles: readonly string[]; readonly problem?: undefined }
  | { readonly problem: string };

/**
 * YAML 1.1 types that Kubernetes' YAML reader (sigs.k8s.io/yaml) keeps as text: dates, binary data, sexagesimal numbers
 * and sets.
 */
const unread = /binary|timestamp|omap|pairs|set$/;

/** The options for reading YAML 1.1 as sigs.k8s.io/yaml does. For example, `on` and `yes` are booleans. */
export const kubernetesYaml = {
  version: "1.1",
  schema: "yaml-1.1",
  customTags: (tags) =>
    tags.filter((tag) => typeof tag === "string" || (!unread.test(tag.tag) && tag.format !== "TIME")),
  merge: true,
  logLevel: "silent",
  prettyErrors: false,
} as const satisfies ParseOptions & DocumentOptions & SchemaOptions;

/**
 * Reads YAML as sigs.k8s.io/yaml does. Reads only the first document of a file, and only the last value of a repeated
 * key. Omits the parser's own message, because it might quote a secret.
 */
export function readYaml(content: Uint8Array): YamlReading {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return { problem: "is not UTF-8" };
  }
  const [document] = parseAllDocuments(text, { ...kubernetesYaml, uniqueKeys: false });
  if (document === undefined || !("contents" in document)) return { problem: "is empty" };
  const [error] = document.errors;
  if (error !== undefined) {
    const line = text.slice(0, error.pos[0]).split("\n").length;
    return { problem: `is not YAML (line ${line})` };
  }
  try {
    return { value: document.toJS(), doubles: doublesIn(document) };
  } catch {
    // An alias has no anchor, or the file has more aliases than the parser follows.
    return { problem: "is not YAML: its aliases cannot be resolved" };
  }
}

/** Returns the names of repeated keys in a map. */
function doublesIn(document: Document): string[] {
  const found = new Set<string>();
  visit(document, {
    Map: (_key, { items }) => {
      const names = items.map(({ key }) => (isScalar(key) ? String(key.value) : ""));
      for (const [index, name] of names.entries()) if (names.indexOf(name) !== index) found.add(name);
    },
  });
  return [...found];
}

/**
 * Returns a map's value; undefined if the value is not a map or lacks the key. As in Go, a null value counts as absent.
 */
export function fieldOf(data: unknown, key: string): unknown {
  if (!isMap(data) || !Object.hasOwn(data, key)) return undefined;
  return Reflect.get(data, key) ?? undefined;
}

export function isMap(data: unknown): data is object {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}

export function textAt(data: unknown, key: string): string | undefined {
  const value = fieldOf(data, key);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Explains why the value of this key is missing or is not a string. */
export function whyNoText(data: unknown, key: string): string {
  const value = fieldOf(data, key);
  if (value === undefined) return "is missing";
  if (value === "") return "is empty";
  if (typeof value === "number" || typeof value === "bigint") return "is a number; put it in quotes";
  if (typeof value !== "boolean") return "is not a string";
  return "is a boolean (YAML 1.1 reads on, yes and y as true); put it in quotes";
}

/** Returns the list under this key; an empty list if the value is not a list. */
export function listOf(data: unknown, key: string): readonly unknown[] {
  const value = fieldOf(data, key);
  return Array.isArray(value) ? value : [];
}
