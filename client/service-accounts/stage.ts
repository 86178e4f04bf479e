import { createPrivateKey, createPublicKey } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import { isPair } from "../pki/check/pem.ts";
import type { NewFiles } from "../pki/folder.ts";
import { splitPublicKeys } from "../pki/token-keys.ts";

/**
 * The stage of a rotation, judged by the keys in the two files:
 * - "started": the new key exists only in the rotation's folder;
 * - "added": service-account.pem has the new key beside the old keys, and an old key signs;
 * - "signing": the new key signs, and tokens signed with the old keys are still accepted;
 * - "dropped": service-account.pem has only the new key.
 */
export type Stage = "started" | "added" | "signing" | "dropped";

/** The contents of the two key files that labs 04 and 08 use, and the new key pair in PEM. */
export interface TokenKeys {
  /** service-account.pem, which may contain several public keys. */
  readonly certificates: string;
  /** service-account-key.pem, the key that signs. */
  readonly signingKey: string;
  readonly newCertificate: string;
  readonly newKey: string;
}

export const publicFile = "service-account.pem";
export const privateFile = "service-account-key.pem";

/** @throws KhwError CREDENTIAL_INVALID if the files do not match any stage */
export function stageOf({ certificates, signingKey, newKey }: TokenKeys): Stage {
  const next = createPrivateKey(newKey);
  const known = new Set(splitPublicKeys(certificates).map(({ key }) => isPair(next, key)));
  const [hasNew, hasOld] = [known.has(true), known.has(false)];
  const signs = isPair(next, createPublicKey(signingKey));
  if (!signs) return hasNew ? "added" : "started";
  if (hasNew) return hasOld ? "signing" : "dropped";
  throw new KhwError("CREDENTIAL_INVALID", `${publicFile} has no public key for ${privateFile}`, {
    hint: "restore both files from the newest replaced-* folder beside them",
  });
}

/** Returns the file for the stage "added". The first key in the file is still the key that signs. */
export function addedFiles({ certificates, newCertificate }: TokenKeys): NewFiles {
  return { [publicFile]: `${certificates.trimEnd()}\n${newCertificate}` };
}

/** Returns the files for the stage "signing". The first key in the file is the key that signs. */
export function signingFiles({ certificates, newKey }: TokenKeys): NewFiles {
  const next = createPrivateKey(newKey);
  const keys = splitPublicKeys(certificates);
  const [own, others] = [keys.filter(({ key }) => isPair(next, key)), keys.filter(({ key }) => !isPair(next, key))];
  return { [publicFile]: [...own, ...others].map(({ pem }) => pem).join(""), [privateFile]: newKey };
}

/** Returns the file for the stage "dropped". */
export function droppedFiles({ certificates, newKey }: TokenKeys): NewFiles {
  const next = createPrivateKey(newKey);
  const own = splitPublicKeys(certificates).filter(({ key }) => isPair(next, key));
  return { [publicFile]: own.map(({ pem }) => pem).join("") };
}
