import type { X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { type WaitClock, waitFor } from "../../proto/wait-for.ts";
import { chainProblem, usageIds } from "../pki/check/chain.ts";
import { certificatesIn } from "../pki/check/pem.ts";
import { fieldOf, listOf } from "../pki/check/yaml.ts";
import { createFieldsReader, type X509Fields } from "../pki/check/x509-fields.ts";
import { workerSubject } from "../pki/subjects.ts";
import { subjectOf } from "../../proto/subject.ts";
import { unexpected } from "../service-accounts/lists.ts";
import { readContents } from "./pkcs10.ts";
import type { Fitting } from "./review.ts";
import { issuedCertificate, pathOf, readRequest, type ServingRequest } from "./requests.ts";

const issueMillis = 30_000;
const intervalMillis = 500;

export interface IssueContext {
  readonly api: KubernetesApi;
  /** The CAs with which the API servers verify kubelets. */
  readonly roots: readonly X509Certificate[];
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly clock?: WaitClock;
}

type Wanted = Pick<Fitting, "node" | "contents">;

/**
 * Approves exactly this version of the request, waits for the certificate, and verifies the certificate.
 * @throws KhwError VERIFY_FAILED, for example if the request has changed since it was checked
 */
export async function approveRequest(
  request: ServingRequest,
  fitting: Fitting,
  context: IssueContext,
): Promise<X509Certificate> {
  await approve(request, context);
  const pem = await awaitCertificate(request, context);
  const certificate = verified(pem, fitting, context);
  if (typeof certificate !== "string") return certificate;
  throw new KhwError("VERIFY_FAILED", `the certificate that was issued is wrong: ${certificate}`, {
    hint: "check --cluster-signing-cert-file of kube-controller-manager: khw-client diff",
  });
}

/** Whether the certificate that the node requested is issued and valid. */
export async function isIssued(request: ServingRequest, node: string, context: IssueContext): Promise<boolean> {
  const pem = issuedCertificate(request);
  const contents = pem === undefined ? "" : await readContents(request.pem);
  if (pem === undefined || typeof contents === "string") return false;
  return typeof verified(pem, { node, contents }, context) !== "string";
}

/** Returns the certificate, or the reason why the certificate is wrong. */
function verified(pem: string, wanted: Wanted, context: IssueContext): X509Certificate | string {
  const { value } = certificatesIn(Buffer.from(pem, "latin1"));
  if (value === undefined) return "it cannot be read";
  return certificateProblem(value, wanted, context) ?? value[0];
}

async function approve(request: ServingRequest, { api, now, signal }: IssueContext): Promise<void> {
  const { object } = request;
  const path = `${pathOf(request)}/approval`;
  const condition = {
    type: "Approved",
    status: "True",
    reason: "KhwClientApproved",
    message: "The names and addresses match the Node object and the instance in the Compute API.",
    lastUpdateTime: new Date(now()).toISOString().replace(/\.\d+Z$/, "Z"),
  };
  const conditions = [...listOf(fieldOf(object, "status"), "conditions"), condition];
  // The object contains its uid and version, so the API server rejects the approval of any other request.
  const approved = { ...Object(object), ...requestKind, status: { ...Object(fieldOf(object, "status")), conditions } };
  const { status } = await api("PUT", path, { signal, body: approved });
  if (status === 409 || status === 404) {
    throw new KhwError("VERIFY_FAILED", "the request has changed since it was checked, so it is not approved", {
      hint: "run the command again",
    });
  }
  if (status !== 200) throw unexpected(`PUT ${path}`, status);
}

const requestKind = { apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest" };

async function awaitCertificate(wanted: ServingRequest, context: IssueContext): Promise<string> {
  const { api, signal, clock } = context;
  const path = pathOf(wanted);
  return waitFor({
    what: "no certificate",
    check: async () => {
      const { status, body } = await api("GET", path, { signal });
      if (status !== 200) throw unexpected(`GET ${path}`, status);
      const request = readRequest(body);
      const pem = request.uid === wanted.uid ? issuedCertificate(request) : undefined;
      return pem === undefined ? { seen: `its conditions are ${request.conditions.join(", ")}` } : { reached: pem };
    },
    deadlineMillis: issueMillis,
    intervalMillis,
    signal,
    ...(clock === undefined ? {} : { clock }),
    late: ({ message }) =>
      new KhwError("VERIFY_FAILED", `the request is approved, but there is ${message}`, {
        hint: "run khw-client logs --since 5m, and look for kube-controller-manager",
      }),
  });
}

/** Returns the reason why the certificate does not match the request. */
function certificateProblem(
  [certificate, ...intermediates]: readonly [X509Certificate, ...X509Certificate[]],
  { node, contents }: Wanted,
  { roots, now }: IssueContext,
): string | undefined {
  const fieldsOf = createFieldsReader();
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  if (!spki.equals(contents.spki)) return "its public key differs from the key in the request";
  const wanted = Object.fromEntries(Object.entries(workerSubject(node)).map(([type, value]) => [type, [value]]));
  if (!isDeepStrictEqual({ ...subjectOf(certificate) }, wanted))
    return "its subject differs from the subject in the request";
  if (!isDeepStrictEqual(namesIn(fieldsOf(certificate)), [...contents.dnsNames, ...contents.addresses].toSorted()))
    return "its names differ from the names in the request";
  if (certificate.ca || !isDeepStrictEqual(certificate.keyUsage, [usageIds.serverAuth]))
    return "its usage is not limited to server authentication";
  const problem = chainProblem(certificate, { intermediates, roots, now: new Date(now()), fieldsOf });
  return problem === undefined ? undefined : `it ${problem.what}`;
}

function namesIn(fields: X509Fields | undefined): readonly string[] {
  const names = [...(fields?.names ?? [])];
  return names.map(({ dNSName, iPAddress }) => dNSName ?? iPAddress ?? "another kind of name").toSorted();
}
