import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { kubeconfigIn } from "../pki/check/kubeconfig.ts";
import { collect, formatProblem } from "../pki/check/problem.ts";
import type { AdminCredentials } from "../pki/check/read.ts";

/**
 * Reads the administrator's credentials from the kubeconfig on this workstation.
 * @throws KhwError CREDENTIAL_INVALID
 */
export async function readAdmin({
  credentials: { folder, adminKubeconfig = join(folder, "admin.kubeconfig") },
}: ClusterConfig): Promise<AdminCredentials> {
  const content = await readFile(adminKubeconfig).catch((cause: unknown) => {
    const missing = isErrno(cause, "ENOENT");
    throw new KhwError("CREDENTIAL_INVALID", `${adminKubeconfig}: ${missing ? "is missing" : "cannot be read"}`, {
      hint: "create it with khw-client pki create, or specify its path with --credentials or --admin-kubeconfig",
      cause,
    });
  });
  const { problems, result } = collect(kubeconfigIn(adminKubeconfig, content));
  if (result !== undefined) return result;
  const [first] = problems;
  throw new KhwError("CREDENTIAL_INVALID", first === undefined ? adminKubeconfig : formatProblem(first), {
    hint: first?.remedy,
  });
}
