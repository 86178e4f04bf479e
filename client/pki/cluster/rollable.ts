import { X509Certificate } from "node:crypto";
import { aggregationCredentialNames, credentialNames, etcdCaCredentialNames } from "../../../proto/components.ts";
import type { NewFiles } from "../folder.ts";
import type { PresentFiles } from "./present.ts";

/** Returns the files that are also on the controllers. */
export function onControllers(files: NewFiles): string[] {
  const names: ReadonlySet<string> = new Set([
    ...credentialNames,
    ...aggregationCredentialNames,
    ...etcdCaCredentialNames,
  ]);
  return Object.keys(files).filter((name) => names.has(name));
}

/** Returns the names and addresses in a server's current certificate, because clients may use them. */
export function presentNames(present: PresentFiles, file = "kubernetes.pem"): readonly string[] {
  const pem = present.get(file);
  if (pem === undefined) return [];
  try {
    const names = new X509Certificate(pem).subjectAltName?.split(", ") ?? [];
    return names.flatMap((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? []);
  } catch {
    // A file that is not a certificate has no names; it is replaced.
    return [];
  }
}
