import { parse } from "yaml";

/** Plain data, or undefined for what is not YAML: the parser's own message might quote a key. */
export function readYaml(content: Uint8Array): unknown {
  try {
    return parse(Buffer.from(content).toString("utf8"), { logLevel: "error" });
  } catch {
    return undefined;
  }
}

/** A map's value, or undefined for what is no map or does not have it. */
export function fieldOf(data: unknown, key: string): unknown {
  return typeof data === "object" && data !== null && Object.hasOwn(data, key) ? Reflect.get(data, key) : undefined;
}

export function textOf(data: unknown, key: string): string | undefined {
  const value = fieldOf(data, key);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Empty for what is no list. */
export function listOf(data: unknown, key: string): readonly unknown[] {
  const value = fieldOf(data, key);
  return Array.isArray(value) ? value : [];
}
