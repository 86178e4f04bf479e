import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { KhwError } from "../../../proto/errors.ts";
import type { Folder } from "./others.ts";
import type { Problem } from "./problem.ts";

/** Certificates, keys, kubeconfigs and the encryption config of a folder. @throws KhwError CREDENTIAL_INVALID, IO_FAILED */
export async function readFolder(folder: string): Promise<Folder> {
  try {
    const names = (await readdir(folder)).filter((name) => /\.(pem|kubeconfig)$|^encryption-config\.yaml$/.test(name));
    const read = await Promise.all(
      names.sort().map(async (name) => [name, await readFile(join(folder, name))] as const),
    );
    return new Map(read);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `${folder}: cannot be read: ${reason}`, {
      hint: "khw-client pki create makes the cluster's files; --credentials says where they are",
      cause,
    });
  }
}

/** Keys, and files that hold keys, that others than their owner may read or change. */
export async function openFiles(folder: string, names: Iterable<string>): Promise<Problem[]> {
  const secret = [...names].filter((name) => !name.endsWith(".pem") || name.endsWith("-key.pem"));
  const found = await Promise.all(
    secret.map(async (file): Promise<Problem[]> => {
      const path = join(folder, file);
      const mode = (await stat(path)).mode & 0o777;
      if ((mode & 0o077) === 0) return [];
      const what = `others may read or change it: ${mode.toString(8).padStart(4, "0")}`;
      return [{ file, field: "mode", what, remedy: `chmod 600 ${path}`, severity: "warning" }];
    }),
  );
  return found.flat();
}
