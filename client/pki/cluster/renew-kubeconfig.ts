import { isMap, isScalar, isSeq, parseDocument, YAMLMap } from "yaml";
import type { Identity } from "../certificate.ts";

/**
 * Returns the kubeconfig with a new certificate and key for the user of its current context. Keeps all other text,
 * because the user may have changed the server, names and comments. Returns undefined if the kubeconfig does not embed
 * that user's certificate and key.
 */
export function withNewIdentity(text: string, { certificate, key }: Identity): string | undefined {
  const document = parseDocument(text, { logLevel: "silent" });
  if (document.errors.length > 0) return undefined;
  const context = named(document.get("contexts"), document.get("current-context"))?.get("context");
  const user = isMap(context) ? named(document.get("users"), context.get("user"))?.get("user") : undefined;
  if (!(user instanceof YAMLMap)) return undefined;
  if (!user.has("client-certificate-data") || !user.has("client-key-data")) return undefined;
  user.set("client-certificate-data", Buffer.from(certificate).toString("base64"));
  user.set("client-key-data", Buffer.from(key).toString("base64"));
  return document.toString({ lineWidth: 0 });
}

/**
 * Returns the kubeconfig with these certificates as the CA of its current context. Keeps all other text. Returns
 * undefined if the kubeconfig does not embed the CA.
 */
export function withAuthorities(text: string, authorities: string): string | undefined {
  const document = parseDocument(text, { logLevel: "silent" });
  if (document.errors.length > 0) return undefined;
  const context = named(document.get("contexts"), document.get("current-context"))?.get("context");
  const cluster = isMap(context) ? named(document.get("clusters"), context.get("cluster"))?.get("cluster") : undefined;
  if (!(cluster instanceof YAMLMap) || !cluster.has("certificate-authority-data")) return undefined;
  cluster.set("certificate-authority-data", Buffer.from(authorities).toString("base64"));
  return document.toString({ lineWidth: 0 });
}

function named(list: unknown, name: unknown): YAMLMap | undefined {
  if (!isSeq(list)) return undefined;
  return list.items.find((item): item is YAMLMap => {
    if (!(item instanceof YAMLMap)) return false;
    const found = item.get("name", true);
    return isScalar(found) && found.value === name;
  });
}
