import { X509Certificate } from "node:crypto";
import { aggregationCredentialNames, credentialNames, etcdCaCredentialNames } from "../../../proto/components.ts";
import type { NewFiles } from "../folder.ts";
import type { PresentFiles } from "./present.ts";

/** Returns the names of the files that the controllers also need. */
export function onControllers(files: NewFiles): string[] {
  const names: ReadonlySet<string> = new Set([
    ...credentialNames,
    ...aggregationCredentialNames,
    ...etcdCaCredentialNames,
  ]);
  return Object.keys(files).filter((name) => names.has(name));
}

/**
 * Returns the names and addresses in a server's current certificate. Clients may depend on them, so a new certificate
 * keeps them.
 */
export function presentNames(present: PresentFiles, file = "kubernetes.pem"): readonly string[] {
  const pem = present.get(file);
  if (pem === undefined) return [];
  try {
    const names = new X509Certificate(pem).subjectAltName?.split(", ") ?? [];
    return names.flatMap((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? []);
  } catch {
    // The file is not a certificate, so there are no names to keep. The new certificate replaces the file.
    return [];
  }
}
