import { readFile } from "node:fs/promises";
import { KhwError } from "../../../proto/errors.ts";

/**
 * Reads a file that a setting of khw.yaml names.
 * @throws KhwError CONFIG_INVALID with the setting's name, if the file cannot be read
 */
export async function readNamedFile(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KhwError("CONFIG_INVALID", `${setting}: ${path} cannot be read: ${reason}`, {
      hint: `correct ${setting} in khw.yaml; a relative path starts at the folder of khw.yaml`,
      cause: error,
    });
  }
}
