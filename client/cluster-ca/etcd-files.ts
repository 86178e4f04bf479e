import { KhwError } from "../../proto/errors.ts";
import { createAuthority } from "../pki/certificate.ts";
import { type ClusterPki, clusterFiles } from "../pki/cluster/create.ts";
import { etcdAuthority, etcdLeaves, issueEtcdLeaves } from "../pki/cluster/etcd-ca.ts";
import { readPresent } from "../pki/cluster/folder.ts";
import { authorityIn } from "../pki/cluster/present.ts";
import type { NewFiles } from "../pki/folder.ts";
import { etcdAuthoritySubject, nextAuthoritySubject } from "../pki/subjects.ts";
import type { StageFilesOptions } from "./files.ts";
import { type Authorities, authorityFiles, type Stage } from "./stage.ts";

/**
 * Creates a CA that replaces the CA that etcd trusts now: etcd's own CA or, if etcd has no CA of its own, the cluster's
 * CA. Returns the old and the new CA.
 * @throws KhwError CREDENTIAL_INVALID if the folder has no CA that can sign
 */
export async function newEtcdAuthorities(folder: string, pki: ClusterPki, now: Date): Promise<Authorities> {
  const present = await readPresent(folder, clusterFiles({ ...pki, separateEtcdCa: true }));
  const name = present.has(`${etcdAuthority}.pem`) ? etcdAuthority : "ca";
  const authority = authorityIn(present, { name, toSign: etcdLeaves, signed: [], now });
  if (authority === undefined) {
    throw new KhwError("CREDENTIAL_INVALID", `${folder}: ${name}.pem and ${name}-key.pem are missing`, {
      hint: "specify the folder of the cluster's files with --credentials",
    });
  }
  const { algorithm, caDays: days } = pki;
  const next = await createAuthority(
    { subject: nextAuthoritySubject(now, etcdAuthoritySubject), days, algorithm },
    now,
  );
  return { old: { certificate: present.get(`${name}.pem`) ?? authority.certificate, key: authority.key }, next };
}

/**
 * Returns the files of the credentials folder that this stage adds or changes. If etcd is moving to its own CA, the
 * stage "trusted" adds etcd's own certificates, signed by the cluster's CA. Later stages only change existing files.
 */
export async function etcdRotationFiles(
  folder: string,
  stage: Exclude<Stage, "started">,
  { rotation, pki, now }: StageFilesOptions,
): Promise<NewFiles> {
  const present = await readPresent(folder, clusterFiles({ ...pki, separateEtcdCa: true }));
  const ca = authorityFiles(etcdAuthority, stage, rotation);
  if (stage === "dropped") return ca;
  const isMissing = (name: string): boolean => !present.has(`${name}.pem`) || !present.has(`${name}-key.pem`);
  const names = stage === "trusted" ? etcdLeaves.filter(isMissing) : etcdLeaves;
  const context = { name: etcdAuthority, toSign: names, signed: [], now };
  const authority = authorityIn(new Map(Object.entries(ca)), context);
  if (authority === undefined) return ca;
  // Clients of etcd may use a name from the certificate that the members have presented until now.
  const served = present.has("etcd-server.pem") ? "etcd-server" : "kubernetes";
  return { ...ca, ...(await issueEtcdLeaves(authority, names, { present, pki, now, served })) };
}
