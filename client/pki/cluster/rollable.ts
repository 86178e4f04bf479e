import { X509Certificate } from "node:crypto";
import { credentialNames } from "../../../proto/components.ts";
import type { NewFiles } from "../folder.ts";
import type { PresentFiles } from "./present.ts";

/** Those of the files that are on the controllers, too. */
export function onControllers(files: NewFiles): string[] {
  const names: ReadonlySet<string> = new Set(credentialNames);
  return Object.keys(files).filter((name) => names.has(name));
}

/** The names and addresses that the API server's certificate has: whoever calls it by one of them will go on to. */
export function presentNames(present: PresentFiles): readonly string[] {
  const pem = present.get("kubernetes.pem");
  if (pem === undefined) return [];
  try {
    const names = new X509Certificate(pem).subjectAltName?.split(", ") ?? [];
    return names.flatMap((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? []);
  } catch {
    // What is no certificate names nobody; it is replaced by one.
    return [];
  }
}
