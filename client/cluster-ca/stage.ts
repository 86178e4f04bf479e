import { KhwError } from "../../proto/errors.ts";
import type { Identity } from "../pki/certificate.ts";
import { identityFiles, type NewFiles } from "../pki/folder.ts";
import type { RotatedCa } from "../pki/rotation-folder.ts";
import { withAuthorities } from "../pki/cluster/renew-kubeconfig.ts";
import type { PresentFiles } from "../pki/cluster/present.ts";
import { digestsOf } from "./certificates.ts";

/**
 * The stage of a CA rotation, which khw derives from the CA's file. The first CA in the file signs:
 * - "started": the file has only the old CA, or does not exist yet;
 * - "trusted": the file has both CAs, and the old CA signs;
 * - "reissued": the file has both CAs, and the new CA signs;
 * - "dropped": the file has only the new CA.
 */
export type Stage = "started" | "trusted" | "reissued" | "dropped";

/** The old CA as it was before the rotation, and the new CA. */
export interface Authorities {
  readonly old: Identity;
  readonly next: Identity;
}

/** @throws KhwError CREDENTIAL_INVALID if the CA's file does not match any stage */
export function stageOf(ca: string, { old, next }: Authorities, file: RotatedCa = "ca"): Stage {
  const [own, former] = [digestsOf(next.certificate), digestsOf(old.certificate)];
  const present = [...digestsOf(ca)];
  const [hasNew, hasOld] = [present.some((digest) => own.has(digest)), present.some((digest) => former.has(digest))];
  if (hasNew && hasOld) return own.has(present[0] ?? "") ? "reissued" : "trusted";
  if (hasNew) return "dropped";
  if (hasOld) return "started";
  throw new KhwError("CREDENTIAL_INVALID", `${file}.pem has neither the old nor the new CA of the rotation`, {
    hint: `restore ${file}.pem from the newest replaced-* folder beside it`,
  });
}

/** Returns ca.pem and the kubeconfigs for the stage "trusted". The old CA comes first and still signs. */
export function trustedFiles(present: PresentFiles, { old, next }: Authorities): NewFiles {
  const ca = joined(old, next);
  return { "ca.pem": ca, ...kubeconfigsWith(ca, present) };
}

/** Returns the CA's files for the stage "reissued". The new CA comes first and signs. */
export function signingFiles({ old, next }: Authorities): NewFiles {
  return identityFiles("ca", { certificate: joined(next, old), key: next.key });
}

/** Returns ca.pem and the kubeconfigs for the stage "dropped". */
export function droppedFiles(present: PresentFiles, { next }: Pick<Authorities, "next">): NewFiles {
  const ca = `${next.certificate.trimEnd()}\n`;
  return { "ca.pem": ca, ...kubeconfigsWith(ca, present) };
}

/** Returns every kubeconfig that embeds a CA. The embedded CA is replaced with these CAs. */
export function kubeconfigsWith(ca: string, present: PresentFiles): NewFiles {
  const changed = [...present].flatMap(([name, content]) => {
    const text = name.endsWith(".kubeconfig") ? withAuthorities(content, ca) : undefined;
    return text === undefined ? [] : [[name, text] as const];
  });
  return Object.fromEntries(changed);
}

/** Returns the CA's certificate file and key file for the stage. The first CA in the certificate file signs. */
export function authorityFiles(
  file: RotatedCa,
  stage: Exclude<Stage, "started">,
  { old, next }: Authorities,
): NewFiles {
  switch (stage) {
    case "trusted":
      return identityFiles(file, { certificate: joined(old, next), key: old.key });
    case "reissued":
      return identityFiles(file, { certificate: joined(next, old), key: next.key });
    case "dropped":
      return identityFiles(file, { certificate: `${next.certificate.trimEnd()}\n`, key: next.key });
  }
}

function joined(first: Identity, second: Identity): string {
  return `${first.certificate.trimEnd()}\n${second.certificate.trimEnd()}\n`;
}
