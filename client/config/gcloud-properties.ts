import { KhwError } from "../../proto/errors.ts";

/** The properties in a file. Each property is named "section/name". */
export interface Properties {
  get(name: string): string | undefined;
}

/** An option whose value may continue on the next lines. */
interface Option {
  readonly key: string;
  readonly indent: number;
}

const header = /^\[(.+)\]/;
const option = /^(.*?)\s*[=:]\s*(.*)$/;
const comment = /^[#;]/;

/**
 * Reads one of gcloud's files as gcloud does, following the rules of Python's `configparser`: "=" or ":" after a name,
 * case-insensitive names, values that continue in indented lines, and defaults for every section in `[DEFAULT]`.
 * @throws KhwError CONFIG_INVALID for a line that Python also rejects
 */
export function parseProperties(text: string, path: string): Properties {
  const values = new Map<string, string>();
  const sections = new Set<string>();
  let section: string | undefined;
  let last: Option | undefined;
  const refuseLine = (index: number, why: string): never => {
    throw new KhwError("CONFIG_INVALID", `${path}:${index + 1}: ${why}`, {
      hint: "correct the line, or set the property again with `gcloud config set`; gcloud cannot read this file either",
    });
  };

  for (const [index, line] of text.split(/\r\n|[\n\r]/).entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || comment.test(trimmed)) continue;
    const indent = line.length - line.trimStart().length;
    if (last !== undefined && indent > last.indent) {
      values.set(last.key, `${values.get(last.key) ?? ""}\n${trimmed}`);
      continue;
    }
    last = undefined;
    const name = header.exec(trimmed)?.[1];
    if (name !== undefined) {
      if (sections.has(name)) refuseLine(index, `the section [${name}] is repeated`);
      sections.add(name);
      section = name;
      continue;
    }
    if (section === undefined) return refuseLine(index, "no [section] comes before this line");
    const [, key = "", value = ""] = option.exec(trimmed) ?? [];
    if (key === "") refuseLine(index, 'the line is neither a [section] nor a name with "=" or ":" and a value');
    last = { key: `${section}/${key.toLowerCase()}`, indent };
    if (values.has(last.key)) refuseLine(index, `${key} is repeated in [${section}]`);
    values.set(last.key, value);
  }
  return {
    get: (name) => {
      const [of = "", key = ""] = name.split("/");
      return values.get(name) ?? (sections.has(of) ? values.get(`DEFAULT/${key}`) : undefined);
    },
  };
}
