import { X509Certificate } from "node:crypto";
import { aggregationCredentialNames, credentialNames } from "../../../proto/components.ts";
import type { NewFiles } from "../folder.ts";
import type { PresentFiles } from "./present.ts";

/** Returns the files that are also on the controllers. */
export function onControllers(files: NewFiles): string[] {
  const names: ReadonlySet<string> = new Set([...credentialNames, ...aggregationCredentialNames]);
  return Object.keys(files).filter((name) => names.has(name));
}

/** Returns the names and addresses in the API server's current certificate, because clients may use them. */
export function presentNames(present: PresentFiles): readonly string[] {
  const pem = present.get("kubernetes.pem");
  if (pem === undefined) return [];
  try {
    const names = new X509Certificate(pem).subjectAltName?.split(", ") ?? [];
    return names.flatMap((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? []);
  } catch {
    // A file that is not a certificate has no names; it is replaced.
    return [];
  }
}
