import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { KhwError } from "../../proto/errors.ts";
import { type ConfigEntry, type Origin, refuseAt, type Value } from "./value.ts";

/**
 * The maximum number of aliases in a file, counted after expansion. This limit also stops the expansion of an alias
 * inside the value that the alias refers to.
 */
const mostAliases = 100;

interface YamlFile {
  readonly name: string;
  readonly folder: string;
  /** Whether the file contains credentials. If so, the parser's error messages quote no text from the file. */
  readonly secret?: boolean;
  /** Whether aliases (*name) are refused. */
  readonly plain?: boolean;
}

/**
 * Parses the text of a configuration file into a value with the line and column of each part.
 * @throws KhwError CONFIG_INVALID if the text is not YAML, repeats a key, or uses tags
 */
export function parseYaml(text: string, file: YamlFile): Value {
  // The failsafe schema keeps all scalars exactly as written, so the version 1.20 does not become the number 1.2.
  const lines = new LineCounter();
  const document = parseDocument(text, { schema: "failsafe", lineCounter: lines, prettyErrors: false });
  const originAt = (offset: number, path: string): Origin => {
    const { line, col } = lines.linePos(offset);
    const place = `${file.name}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
    return { label: path === "" ? place : `${place}: ${path}`, code: "CONFIG_INVALID", folder: file.folder };
  };

  const problems = [...document.errors, ...document.warnings].map(({ code, message, pos: [offset] }) => {
    const problem = file.secret ? "this is not valid YAML, or it uses YAML syntax that khw does not support" : message;
    return `${originAt(offset, "").label}: ${code === "DUPLICATE_KEY" ? "this key is repeated" : problem}`;
  });
  if (problems.length > 0) throw new KhwError("CONFIG_INVALID", problems.join("\n"));

  let aliases = 0;
  const convert = (node: Node | null, path: string, offset: number): Value => {
    const origin = originAt(node?.range?.[0] ?? offset, path);
    if (isAlias(node)) {
      aliases += 1;
      if (file.plain) refuseAt(origin, "khw does not support aliases here", "write the value itself");
      if (aliases > mostAliases) refuseAt(origin, `the file has more than ${mostAliases} aliases`);
      return convert(node.resolve(document) ?? refuseAt(origin, "this anchor does not exist"), path, offset);
    }
    if (node?.tag !== undefined) refuseAt(origin, `the tag${file.secret ? "" : ` ${node.tag}`} is not supported`);
    if (isSeq<Node>(node)) {
      return {
        kind: "list",
        origin,
        items: node.items.map((item, index) => convert(item, `${path}[${index}]`, offset)),
      };
    }
    if (isMap<Node, Node | null>(node)) {
      const entries = node.items.map(({ key, value }): ConfigEntry => {
        const start = key.range?.[0] ?? offset;
        if (!isScalar(key)) return refuseAt(originAt(start, path), "a key must be a string");
        const name = String(key.value);
        const inner = path === "" ? name : `${path}.${name}`;
        return { key: name, origin: originAt(start, inner), value: convert(value, inner, start) };
      });
      return { kind: "map", origin, entries };
    }
    const written = isScalar(node) ? String(node.value) : "";
    const plain = !isScalar(node) || node.type === "PLAIN";
    if (plain && ["", "~", "null"].includes(written)) return { kind: "empty", origin };
    return { kind: "text", origin, text: written, scalar: plain ? scalarOf(written) : undefined };
  };
  return convert(document.contents, "", 0);
}

/**
 * Kubernetes reads YAML 1.1 (sigs.k8s.io/yaml). YAML 1.1 treats more words as booleans and numbers than YAML 1.2 does.
 */
const booleans = /^(?:y|Y|[yY]es|YES|n|N|[nN]o|NO|[tT]rue|TRUE|[fF]alse|FALSE|[oO]n|ON|[oO]ff|OFF)$/;
const integer = /^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$/;
const decimal =
  /^(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;

/** Returns the type of an unquoted word; undefined for a string. */
function scalarOf(word: string): "number" | "boolean" | undefined {
  if (booleans.test(word)) return "boolean";
  return integer.test(word) || decimal.test(word) ? "number" : undefined;
}
