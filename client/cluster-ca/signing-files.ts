import { KhwError } from "../../proto/errors.ts";
import { createAuthority } from "../pki/certificate.ts";
import type { ClusterPki } from "../pki/cluster/create.ts";
import { readPresent } from "../pki/cluster/folder.ts";
import { authorityIn } from "../pki/cluster/present.ts";
import { nextAuthoritySubject, signingAuthoritySubject } from "../pki/subjects.ts";
import type { Authorities } from "./stage.ts";

/**
 * Creates a signing CA that replaces the signing CA in the folder. Returns the old and the new CA.
 * @throws KhwError INVALID_ARGUMENT if the cluster has no signing CA; CREDENTIAL_INVALID if the folder's signing CA
 * cannot sign
 */
export async function newSigningAuthorities(folder: string, pki: ClusterPki, now: Date): Promise<Authorities> {
  const present = await readPresent(folder, ["signing-ca.pem", "signing-ca-key.pem"]);
  const context = { name: "signing-ca", toSign: ["certificates of Kubernetes"], signed: [], now };
  const old = authorityIn(present, context);
  if (old === undefined) {
    throw new KhwError("INVALID_ARGUMENT", `${folder} has no signing-ca.pem: Kubernetes signs with the cluster's CA`, {
      hint: "to replace the cluster's CA, run khw-client pki rotate-ca",
    });
  }
  const { algorithm, caDays: days } = pki;
  const subject = nextAuthoritySubject(now, signingAuthoritySubject);
  return { old, next: await createAuthority({ subject, days, algorithm }, now) };
}
