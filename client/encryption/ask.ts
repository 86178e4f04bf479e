import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { firstAnswer } from "../cluster/first-answer.ts";
import type { OpenCluster } from "../cluster/open.ts";

/**
 * Returns the counts of stored values from the first agent whose etcd answers.
 * @throws KhwError with the last agent's error
 */
export async function askStoredValues({ members }: OpenCluster, signal: AbortSignal): Promise<StoredValues[]> {
  const nodes = members.map(({ node }) => node);
  return firstAnswer(nodes, (node) => node.storedValues(signal), signal);
}

/**
 * Reads encryption-config.yaml from the credentials folder.
 * @throws KhwError CREDENTIAL_INVALID
 */
export async function readConfig(folder: string): Promise<string> {
  const path = join(folder, "encryption-config.yaml");
  return readFile(path, "utf8").catch((cause: Error) => {
    throw new KhwError("CREDENTIAL_INVALID", `${path} cannot be read: ${cause.message}`, {
      hint: "specify the file's folder with --credentials, or with credentials.folder in khw.yaml",
      cause,
    });
  });
}
