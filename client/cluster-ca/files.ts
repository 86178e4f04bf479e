import { KhwError } from "../../proto/errors.ts";
import { createAuthority } from "../pki/certificate.ts";
import { readFolder } from "../pki/check/folder.ts";
import { readCertificates } from "../pki/check/pem.ts";
import { type ClusterPki, clusterFiles, leafNames } from "../pki/cluster/create.ts";
import { readPresent } from "../pki/cluster/folder.ts";
import { authorityIn, type PresentFiles } from "../pki/cluster/present.ts";
import { renewLeaves } from "../pki/cluster/renew.ts";
import type { NewFiles } from "../pki/folder.ts";
import { nextAuthoritySubject } from "../pki/subjects.ts";
import { certificatesOf } from "./certificates.ts";
import { type Authorities, droppedFiles, kubeconfigsWith, signingFiles, type Stage, trustedFiles } from "./stage.ts";

/**
 * Creates a CA that replaces the CA in the folder. Returns the old and the new CA.
 * @throws KhwError CREDENTIAL_INVALID if the folder has no CA that can sign
 */
export async function newAuthorities(folder: string, pki: ClusterPki, now: Date): Promise<Authorities> {
  const present = await readPresent(folder, clusterFiles(pki));
  const names = presentLeaves(present, pki);
  const authority = authorityIn(present, { toSign: names, signed: names, now });
  if (authority === undefined) {
    throw new KhwError("CREDENTIAL_INVALID", `${folder}: ca.pem, ca-key.pem and the certificates are missing`, {
      hint: "specify the folder of the cluster's files with --credentials",
    });
  }
  const { algorithm, caDays: days } = pki;
  const next = await createAuthority({ subject: nextAuthoritySubject(now), days, algorithm }, now);
  return { old: { certificate: present.get("ca.pem") ?? authority.certificate, key: authority.key }, next };
}

export interface StageFilesOptions {
  readonly rotation: Authorities;
  readonly pki: ClusterPki;
  readonly now: Date;
}

/** Returns the files of the credentials folder that this stage changes. Writes nothing. */
export async function caRotationFiles(
  folder: string,
  stage: Exclude<Stage, "started">,
  { rotation, pki, now }: StageFilesOptions,
): Promise<NewFiles> {
  const present = await readPresent(folder, clusterFiles(pki));
  if (stage === "trusted") return trustedFiles(present, rotation);
  if (stage === "dropped") return droppedFiles(present, rotation);
  const ca = signingFiles(rotation);
  const withCa = new Map([...present, ...Object.entries(ca)]);
  const leaves = await renewLeaves(withCa, presentLeaves(present, pki), { pki, now });
  const all = new Map([...withCa, ...Object.entries(leaves)]);
  return { ...ca, ...leaves, ...kubeconfigsWith(ca["ca.pem"] ?? "", all) };
}

/**
 * Returns the names of the files with a certificate that the old CA has signed. From the stage "reissued" on, these are
 * only files that khw does not issue.
 */
export async function signedElsewhere(folder: string, old: Authorities["old"]): Promise<string[]> {
  const authorities = certificatesOf(old.certificate);
  const { files } = await readFolder(folder);
  return [...files].flatMap(([name, content]) => {
    const [first] = name.endsWith(".pem") ? readCertificates(content) : [];
    const isOwn = name === "ca.pem" || first === undefined;
    return !isOwn && authorities.some(({ publicKey }) => first.verify(publicKey)) ? [name] : [];
  });
}

function presentLeaves(present: PresentFiles, pki: ClusterPki): string[] {
  return leafNames(pki).filter((name) => present.has(`${name}.pem`));
}
