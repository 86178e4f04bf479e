import { fieldOf, listOf, readYaml, textAt } from "../pki/check/yaml.ts";
import type { Kms } from "../pki/kms.ts";

/** Whether any entry of the encryption configuration has a plugin with this name. */
export function usesKms(content: Uint8Array | undefined, { name }: Pick<Kms, "name">): boolean {
  if (content === undefined) return false;
  const reading = readYaml(content);
  if (reading.problem !== undefined) return false;
  return listOf(reading.value, "resources").some((entry) =>
    listOf(entry, "providers").some((provider) => textAt(fieldOf(provider, "kms"), "name") === name),
  );
}
