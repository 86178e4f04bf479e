import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { KhwError } from "../../proto/errors.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import { fieldOf, isMap, textAt } from "../pki/check/yaml.ts";
import { listObjects, unexpected } from "../service-accounts/lists.ts";
import { secretType } from "../service-accounts/uses.ts";
import { certificatesOf, digestsOf } from "./certificates.ts";

const publishMillis = 180_000;
const intervalMillis = 1_000;
const tries = 5;
const trustMap = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

/**
 * Waits until the controller manager has published exactly these CAs in every ConfigMap kube-root-ca.crt and in every
 * Secret with a token.
 * @throws KhwError VERIFY_FAILED
 */
export async function waitUntilPublished(api: KubernetesApi, ca: string, signal: AbortSignal): Promise<void> {
  const wanted = [...digestsOf(ca)].toSorted().join();
  await waitFor({
    what: "the controller manager has not published ca.pem",
    check: async (): Promise<Look<undefined>> => {
      const stale = await findStale(api, wanted, signal);
      return stale === undefined ? { reached: undefined } : { seen: stale };
    },
    deadlineMillis: publishMillis,
    intervalMillis,
    signal,
    late: ({ message }) =>
      new KhwError("VERIFY_FAILED", message, {
        hint: "check with khw-client status that kube-controller-manager is running, then run the command again",
      }),
  });
}

/** Describes the first object whose CAs differ from the desired CAs. */
async function findStale(api: KubernetesApi, wanted: string, signal: AbortSignal): Promise<string | undefined> {
  const lists = [
    { path: "/api/v1/configmaps", query: { fieldSelector: "metadata.name=kube-root-ca.crt" }, kind: "ConfigMap" },
    { path: "/api/v1/secrets", query: { fieldSelector: `type=${secretType}` }, kind: "Secret" },
  ] as const;
  for (const { path, query, kind } of lists) {
    for await (const object of listObjects(api, path, { signal, query })) {
      const text = textAt(fieldOf(object, "data"), "ca.crt");
      // The controller manager has not filled this new Secret yet.
      if (text === undefined) continue;
      const ca = kind === "Secret" ? Buffer.from(text, "base64").toString("utf8") : text;
      if ([...digestsOf(ca)].toSorted().join() === wanted) continue;
      const metadata = fieldOf(object, "metadata");
      return `the ${kind} ${textAt(metadata, "namespace") ?? ""}/${textAt(metadata, "name") ?? ""} has other CAs`;
    }
  }
  return undefined;
}

/**
 * Removes the old CA from the ConfigMap that tells aggregated API servers which clients to trust. The API servers add
 * their own CA to this ConfigMap, and keep every other CA until that CA expires. Returns whether the ConfigMap had the
 * old CA.
 */
export async function forgetOldCa(api: KubernetesApi, old: string, signal: AbortSignal): Promise<boolean> {
  const field = "client-ca-file";
  for (let attempt = 1; ; attempt++) {
    const { status, body } = await api("GET", trustMap, { signal });
    if (status === 404) return false;
    const data = fieldOf(body, "data");
    if (status !== 200 || !isMap(body) || !isMap(data)) throw unexpected(`GET ${trustMap}`, status);
    const former = digestsOf(old);
    const all = certificatesOf(textAt(data, field) ?? "");
    const kept = all.filter(({ fingerprint256 }) => !former.has(fingerprint256));
    if (kept.length === all.length) return false;
    const text = kept.map((certificate) => certificate.toString()).join("");
    // The resource version in the object makes the API server refuse the update if somebody else changed the object.
    const update = await api("PUT", trustMap, { signal, body: { ...body, data: { ...data, [field]: text } } });
    if (update.status === 200) return true;
    if (update.status !== 409 || attempt === tries) throw unexpected(`PUT ${trustMap}`, update.status);
  }
}
