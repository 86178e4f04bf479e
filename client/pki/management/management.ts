import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ClusterConfig } from "../../config/schema.ts";
import { addFiles, completeFolder, identityFiles, makeFolder, type NewFiles } from "../folder.ts";
import { createAuthority, identityDays, issue } from "./issue.ts";

/** Creates a new management CA and its first administrator's identity. Returns their files by name. */
export async function newManagement(now: Date): Promise<NewFiles> {
  const authority = await createAuthority(now);
  const admin = await issue(authority, { name: "admin", role: "admin", days: identityDays }, now);
  return { ...identityFiles("ca", authority), ...identityFiles("admin", admin) };
}

/**
 * Creates the management identities, unless khw.yaml sets their paths or any of their files exists. If a file exists,
 * the other files may be elsewhere. Returns the paths of the new files.
 * @throws KhwError IO_FAILED
 */
export async function provideManagement({ ca, certificate, key }: ClusterConfig["management"]): Promise<string[]> {
  const folder = dirname(ca);
  const own = { ca: "ca.pem", certificate: "admin.pem", key: "admin-key.pem" };
  const left =
    ca === join(folder, own.ca) && certificate === join(folder, own.certificate) && key === join(folder, own.key);
  const paths = [ca, certificate, key, join(folder, "ca-key.pem")];
  if (left) await completeFolder(folder);
  if (!left || (await Promise.all(paths.map(isThere))).includes(true)) return [];
  const files = await newManagement(new Date());
  await makeFolder(folder);
  await addFiles(folder, files);
  return Object.keys(files).map((name) => join(folder, name));
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
