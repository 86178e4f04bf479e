import { type Document, isNode, isScalar, LineCounter, parseAllDocuments, visit } from "yaml";
import { allOf } from "../config/files/shape.ts";
import { type Origin, refuseAt } from "../config/value.ts";
import { kubernetesYaml, listOf, textAt } from "../pki/check/yaml.ts";
import type { ManifestFile } from "./read-folder.ts";

/** The path to a field of an object: field names and list positions. */
export type FieldPath = readonly (string | number)[];

/** An object as it is written in the file. */
export interface WrittenObject {
  readonly data: unknown;
  /**
   * Returns the file, line and column of a field. If the field is absent, returns the position of its nearest parent.
   */
  readonly at: (path: FieldPath) => Origin;
}

/** The limit on aliases, which can make a small file expand enormously. */
const maxAliases = 100;

/**
 * Reads the objects of a file, as Kubernetes reads YAML. Replaces a List by its items. Errors never quote values,
 * because a value may be a secret.
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function parseManifestFile({ path, text }: ManifestFile): WrittenObject[] {
  const lines = new LineCounter();
  const origin = (offset: number, label = ""): Origin => {
    const { line, col } = lines.linePos(offset);
    const place = `${path}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
    return { label: label === "" ? place : `${place}: ${label}`, code: "CONFIG_INVALID", folder: "/" };
  };
  const documents = parse(text, lines, origin);
  allOf(documents.map((document) => () => checkNodes(document, origin)));
  return documents.flatMap((document) => objectsOf(document, origin));
}

type OriginAt = (offset: number, label?: string) => Origin;

function parse(text: string, lineCounter: LineCounter, origin: OriginAt): Document.Parsed[] {
  try {
    const documents = parseAllDocuments(text, { ...kubernetesYaml, lineCounter });
    return "empty" in documents ? [] : documents;
  } catch {
    // The parser is recursive, so deep nesting causes a RangeError.
    return refuseAt(origin(0), "the file is nested too deeply");
  }
}

/** Rejects YAML errors, keys that are not strings, and numbers that JavaScript cannot represent. */
function checkNodes(document: Document.Parsed, origin: OriginAt): void {
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) refuseAt(origin(fault.pos[0]), faultText(fault.code), faultHint(fault.code));
  visit(document, {
    Pair: (_key, { key }) => {
      const offset = isNode(key) ? (key.range?.[0] ?? 0) : 0;
      // The parser represents the merge key `<<` as a symbol.
      if (!isScalar(key) || !["string", "symbol"].includes(typeof key.value))
        refuseAt(origin(offset), "a key must be a string", "put the key in quotes; YAML reads on, yes and y as true");
    },
    Scalar: (_key, { value, range }) => {
      if (typeof value !== "number") return;
      const whole = Number.isInteger(value) && !Number.isSafeInteger(value);
      if (whole || !Number.isFinite(value))
        refuseAt(origin(range?.[0] ?? 0), "the number is too large", "put it in quotes if the field is a string");
    },
  });
}

function faultText(code: string): string {
  if (code === "DUPLICATE_KEY") return "this key is repeated";
  if (code === "TAG_RESOLVE_FAILED") return "the tag is not supported, or does not match its value";
  return `this is not YAML (${code.toLowerCase().replaceAll("_", " ")})`;
}

function faultHint(code: string): string | undefined {
  return code === "TAB_AS_INDENT" ? "indent with spaces" : undefined;
}

function objectsOf(document: Document.Parsed, origin: OriginAt): WrittenObject[] {
  const start = document.contents?.range[0] ?? 0;
  const at = (path: FieldPath): Origin => {
    const label = path.reduce<string>(
      (text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`),
      "",
    );
    for (let length = path.length; length > 0; length -= 1) {
      const node: unknown = document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return origin(node.range[0], label);
    }
    return origin(start, label);
  };
  let data: unknown;
  try {
    data = document.toJS({ maxAliasCount: maxAliases });
  } catch {
    refuseAt(origin(start), "its aliases cannot be resolved", "write the values out instead of using anchors");
  }
  if (data === null || data === undefined) return [];
  if (textAt(data, "kind") !== "List" || textAt(data, "apiVersion") !== "v1") return [{ data, at }];
  return listOf(data, "items").map((item, index) => ({ data: item, at: (path) => at(["items", index, ...path]) }));
}
