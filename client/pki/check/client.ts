import type { X509Certificate } from "node:crypto";
import {
  authoritiesIn,
  certificateIn,
  covers,
  keyIn,
  type Pem,
  subjectIs,
  type Trust,
  usable,
  type WantedName,
} from "./certificate.ts";
import { type Kubeconfig, kubeconfigIn } from "./kubeconfig.ts";
import type { Findings } from "./problem.ts";

export interface ClientContext {
  readonly trust: Trust;
  /** The API server's certificate, which the kubeconfig's server address must fit. */
  readonly server: X509Certificate | undefined;
  /** What that certificate must be valid for in any case. */
  readonly names: readonly WantedName[];
  readonly subject: { CN?: string; O?: string };
}

/** A kubeconfig whose current context leads whom it is for to the API server. */
export function* clientIn(
  file: string,
  content: Uint8Array | undefined,
  { trust, server, names, subject }: ClientContext,
): Findings<Kubeconfig | undefined> {
  const kubeconfig = content === undefined ? undefined : yield* kubeconfigIn(file, content);
  if (kubeconfig === undefined) return undefined;
  const { fields, ca, certificate, key } = kubeconfig;
  const pem: Pem = { file, field: fields.certificate, content: certificate };
  const parsed = yield* certificateIn(pem, trust);
  if (parsed !== undefined) {
    yield* subjectIs(pem, parsed.certificate, subject);
    yield* usable(pem, parsed, { usages: ["clientAuth"], roots: trust.authorities });
  }
  yield* keyIn({ file, field: fields.key, content: key }, parsed?.certificate, "its certificate");

  const embedded = yield* authoritiesIn({ file, field: fields.ca, content: ca }, trust.now);
  const { authorities } = trust;
  const same = authorities.length === 0 || embedded.some((one) => authorities.some(({ raw }) => one.raw.equals(raw)));
  if (embedded.length > 0 && !same) {
    yield { file, field: fields.ca, what: "is not the CA in ca.pem", remedy: "make it again with this cluster's CA" };
  }
  const host = httpsHost(kubeconfig.server);
  const known = host !== undefined && names.some(({ name }) => name === host);
  const remedy = "https://127.0.0.1:6443, as in lab 05";
  if (host === undefined) yield { file, field: fields.server, what: "is no https URL", remedy };
  else if (!known && server !== undefined && !covers(server, host)) {
    yield { file, field: fields.server, what: `${host} is no name that kubernetes.pem is valid for`, remedy };
  }
  return kubeconfig;
}

/** The host of an https URL, an IPv6 address without its brackets; undefined for any other text. */
function httpsHost(text: string): string | undefined {
  const url = URL.parse(text);
  return url?.protocol === "https:" ? url.hostname.replace(/^\[(.*)\]$/, "$1") : undefined;
}
