import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "../config/schema.ts";

/** Returns the certificate of the cluster's CA; an empty string if the file no longer exists. */
export async function readAuthority({ credentials: { folder } }: ClusterConfig): Promise<string> {
  try {
    return await readFile(join(folder, "ca.pem"), "utf8");
  } catch (cause) {
    if (isErrno(cause, "ENOENT")) return "";
    throw new KhwError("CREDENTIAL_INVALID", `${join(folder, "ca.pem")}: ${toKhwError(cause).message}`, { cause });
  }
}
