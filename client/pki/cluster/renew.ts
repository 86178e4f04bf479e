import { createPrivateKey } from "node:crypto";
import { identityFiles, type NewFiles } from "../folder.ts";
import { type ClusterPki, issueLeaf, renderLabKubeconfig } from "./create.ts";
import { isEtcdLeaf, renewEtcdLeaves } from "./etcd-ca.ts";
import { frontProxyClient, renewFrontProxy } from "./front-proxy.ts";
import { kubeconfigsOf } from "./kubeconfig.ts";
import { withNewIdentity } from "./renew-kubeconfig.ts";
import { authorityIn, type PresentFiles } from "./present.ts";
import { otherPublicKeys } from "../token-keys.ts";
import { presentNames } from "./rollable.ts";

/**
 * Creates new certificates and kubeconfigs for these names in memory. Writes nothing. Each certificate gets a new key,
 * except the service account certificate. A new service account key would invalidate every token in the cluster. The
 * API server's new certificate keeps the names of the old one. Returns no files if neither the CA nor any of the
 * certificates exists.
 * @throws KhwError CREDENTIAL_INVALID if the CA cannot sign; INVALID_ARGUMENT for a name that the cluster does not have
 */
export async function renewLeaves(
  present: PresentFiles,
  names: readonly string[],
  { pki, now }: { readonly pki: ClusterPki; readonly now: Date },
): Promise<NewFiles> {
  const leaves = names.filter((name) => name !== frontProxyClient && !isEtcdLeaf(name));
  const ofEtcd = names.filter(isEtcdLeaf);
  const others = {
    ...(names.includes(frontProxyClient) ? await renewFrontProxy(present, pki, now) : {}),
    ...(ofEtcd.length > 0 ? await renewEtcdLeaves(present, ofEtcd, { pki, now }) : {}),
  };
  if (leaves.length === 0) return others;
  const signed = leaves.filter((name) => present.has(`${name}.pem`));
  const authority = authorityIn(present, { toSign: leaves, signed, now });
  if (authority === undefined) return others;
  const extraNames = [...new Set([...pki.extraNames, ...presentNames(present)])];
  const issued = await Promise.all(
    leaves.map(async (name) => {
      const key = name === "service-account" ? present.get("service-account-key.pem") : undefined;
      return identityFiles(name, await issueLeaf(authority, { ...pki, extraNames, name, key }, now));
    }),
  );
  const made: Record<string, string> = withOtherTokenKeys(Object.assign({}, others, ...issued), present);
  const content = (file: string): string => made[file] ?? present.get(file) ?? "";
  for (const kubeconfig of kubeconfigsOf(pki).filter(({ name }) => leaves.includes(name))) {
    const [file, old] = [`${kubeconfig.name}.kubeconfig`, present.get(`${kubeconfig.name}.kubeconfig`)];
    const identity = { certificate: content(`${kubeconfig.name}.pem`), key: content(`${kubeconfig.name}-key.pem`) };
    const changed = old === undefined ? undefined : withNewIdentity(old, identity);
    made[file] = changed ?? renderLabKubeconfig(kubeconfig, pki, content);
  }
  return made;
}

/**
 * Keeps the other public keys in service-account.pem, because the cluster must still accept tokens that were signed
 * with the matching private keys.
 */
function withOtherTokenKeys(made: NewFiles, present: PresentFiles): Record<string, string> {
  const [file, old, key] = ["service-account.pem", present.get("service-account.pem"), made["service-account-key.pem"]];
  if (old === undefined || key === undefined) return { ...made };
  return { ...made, [file]: `${made[file] ?? ""}${otherPublicKeys(old, createPrivateKey(key))}` };
}
