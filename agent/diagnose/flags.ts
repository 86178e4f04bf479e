import type { Os } from "../os/os.ts";
import { unitFolder } from "../paths.ts";

/**
 * Reads the flags in the unit's file. khw writes one flag per line, with its value either unquoted or in single quotes.
 */
export async function readFlags(unit: string, { files }: Os): Promise<ReadonlyMap<string, string>> {
  const text = (await files.read(`${unitFolder}/${unit}`))?.toString("utf8") ?? "";
  const flags = text.matchAll(/\s--?(?<name>[a-z][\w-]*)(?:=|[ \t]+)(?:'(?<quoted>[^'\n]*)'|(?<bare>[^\s'\\]+))/g);
  return new Map([...flags].map(({ groups = {} }) => [groups["name"] ?? "", groups["quoted"] ?? groups["bare"] ?? ""]));
}
