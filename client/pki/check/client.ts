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
import { type Kubeconfig, kubeconfigIn, type NamedFiles } from "./kubeconfig.ts";
import type { Findings, Problem } from "./problem.ts";

/** The port of kube-apiserver in lab 08. */
const apiServerPort = "6443";

export interface ClientContext {
  readonly trust: Trust;
  /** The API server's certificate, which must contain the kubeconfig's server address. */
  readonly server: X509Certificate | undefined;
  /** The names that the API server's certificate must always have. */
  readonly names: readonly WantedName[];
  readonly subject: { CN?: string; O?: string };
  /** The files that the kubeconfig may refer to; if absent, the kubeconfig must embed all certificates and keys. */
  readonly named?: NamedFiles;
}

/** Checks that a user can connect to the API server with the kubeconfig's current context. */
export function* clientIn(
  file: string,
  content: Uint8Array | undefined,
  { trust, server, names, subject, named }: ClientContext,
): Findings<Kubeconfig | undefined> {
  const kubeconfig = content === undefined ? undefined : yield* kubeconfigIn(file, content, named);
  if (kubeconfig === undefined) return undefined;
  const { fields, ca, certificate, key } = kubeconfig;
  const pem: Pem = { file, field: fields.certificate, content: certificate };
  const parsed = yield* certificateIn(pem, trust);
  if (parsed !== undefined) {
    yield* subjectIs(pem, parsed.certificate, subject);
    yield* usable(pem, parsed, { usages: ["clientAuth"], roots: trust.authorities });
  }
  yield* keyIn({ file, field: fields.key, content: key }, parsed?.certificate, "its certificate");

  const embedded = yield* authoritiesIn({ file, field: fields.ca, content: ca }, trust);
  const { authorities } = trust;
  const same = authorities.length === 0 || embedded.some((one) => authorities.some(({ raw }) => one.raw.equals(raw)));
  if (embedded.length > 0 && !same) {
    yield { file, field: fields.ca, what: "is not the CA in ca.pem", remedy: "create it again with this cluster's CA" };
  }
  yield* leadsToServer(file, kubeconfig, { server, names });
  return kubeconfig;
}

const remedy = "set it to https://127.0.0.1:6443, as in lab 05";

function* leadsToServer(
  file: string,
  { server: text, serverName, fields }: Kubeconfig,
  { server, names }: Pick<ClientContext, "server" | "names">,
): Findings {
  const problem = (what: string, field = fields.server): Problem => ({ file, field, what, remedy });
  const url = URL.parse(text);
  if (url?.protocol !== "https:") return yield problem("is not an https URL");
  if (url.pathname !== "/" || url.search !== "" || url.username !== "") {
    yield problem("must have only the API server's address and port");
  }
  // A load balancer may use a different port at the public address. A controller must use the API server's port.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const listener = names.find(({ name }) => name === host);
  if (listener?.controller === true && url.port !== apiServerPort) {
    yield problem(`has port ${url.port || "443"}, but the API server listens on ${apiServerPort}`);
  }
  const [name, field] =
    serverName === undefined
      ? [host, fields.server]
      : [serverName, fields.server.replace(/server$/, "tls-server-name")];
  const known = names.some((wanted) => wanted.name === name);
  if (!known && server !== undefined && !covers(server, name)) {
    yield problem(`kubernetes.pem is not valid for ${name}`, field);
  }
}
