import type { Os } from "../os/os.ts";
import type { KmsFacts } from "./evidence.ts";

/**
 * Matches the address of a plugin in the encryption configuration, in YAML and in JSON. The match contains no secret.
 */
const endpoint = /\bendpoint["']?:\s*["']?unix:(?:\/\/)?(?<socket>\/[^\s"',}]+)/g;

/** Whether a line of the journal, or the reason for a failed health check, blames a KMS plugin. */
export const blamesKms = /\bkms-providers?\b/;

/**
 * Returns the socket of the API server's KMS plugin. If there are several plugins, prefers a plugin whose socket is
 * missing.
 */
export async function readKms(
  flags: ReadonlyMap<string, string>,
  { files }: Pick<Os, "files">,
): Promise<KmsFacts | undefined> {
  const path = flags.get("encryption-provider-config");
  const text = path === undefined ? "" : ((await files.read(path))?.toString("utf8") ?? "");
  const sockets = [...text.matchAll(endpoint)].flatMap(({ groups }) => groups?.["socket"] ?? []);
  const found = await Promise.all(
    sockets.map(async (socket) => ({ socket, exists: (await files.stat(socket)) !== undefined })),
  );
  return found.find(({ exists }) => !exists) ?? found[0];
}
