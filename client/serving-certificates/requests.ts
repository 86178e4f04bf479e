import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { show } from "../../proto/validate.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { listObjects } from "../service-accounts/lists.ts";

/** The signer of kubelets' serving certificates. Requests for any other signer are left alone. */
export const servingSigner = "kubernetes.io/kubelet-serving";

export const requestsPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/** The API server's record of a request (CertificateSigningRequest). The requestor chooses `name`, `pem` and `usages`. */
export interface ServingRequest {
  /** The name, unchanged. Anybody who may create requests chooses it, and Kubernetes accepts almost every character. */
  readonly name: string;
  readonly uid: string;
  /** When the API server received the request; NaN if unknown. */
  readonly createdMillis: number;
  /** The requestor, as the API server authenticated it. */
  readonly username: string;
  readonly groups: readonly string[];
  readonly usages: readonly string[];
  /** The PKCS #10 request. */
  readonly pem: string;
  readonly conditions: readonly string[];
  /** The API server's object, unchanged. khw adds a condition and sends the object back. */
  readonly object: unknown;
}

/** Returns all requests for kubelets' serving certificates, oldest first. */
export async function readRequests(api: KubernetesApi, signal: AbortSignal): Promise<ServingRequest[]> {
  const found: ServingRequest[] = [];
  const query = { fieldSelector: `spec.signerName=${servingSigner}` };
  for await (const object of listObjects(api, requestsPath, { signal, query })) {
    if (textAt(fieldOf(object, "spec"), "signerName") === servingSigner) found.push(readRequest(object));
  }
  return found.sort((a, b) => a.createdMillis - b.createdMillis);
}

/** Reads the API server's object. A text field of the wrong type is read as empty text, which no check accepts. */
export function readRequest(object: unknown): ServingRequest {
  const [metadata, spec, status] = ["metadata", "spec", "status"].map((key) => fieldOf(object, key));
  return {
    name: textAt(metadata, "name") ?? "",
    uid: textAt(metadata, "uid") ?? "",
    createdMillis: Date.parse(textAt(metadata, "creationTimestamp") ?? ""),
    username: textAt(spec, "username") ?? "",
    groups: listOf(spec, "groups").map(text),
    usages: listOf(spec, "usages").map(text),
    pem: decoded(textAt(spec, "request")),
    conditions: listOf(status, "conditions").map((condition) => textAt(condition, "type") ?? ""),
    object,
  };
}

/**
 * Matches a request name that is safe in a shell command. Kubelets name their requests csr- and five letters or digits.
 */
const plainName = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

export function isPlainName(name: string): boolean {
  return plainName.test(name);
}

/** Returns the name as messages show it. Unusual names are quoted. */
export function labelOf(name: string): string {
  return isPlainName(name) ? name : show(name);
}

/** Returns the path of the request's object. */
export function pathOf({ name }: Pick<ServingRequest, "name">): string {
  return `${requestsPath}/${encodeURIComponent(name)}`;
}

/** Returns the certificate that was issued for the request, in PEM; undefined if none was issued yet. */
export function issuedCertificate({ object }: ServingRequest): string | undefined {
  return decoded(textAt(fieldOf(object, "status"), "certificate")) || undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function decoded(base64 = ""): string {
  return Buffer.from(base64, "base64").toString("latin1");
}
