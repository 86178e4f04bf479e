import { webcrypto } from "node:crypto";
import { generateKeys } from "../../client/pki/keys.ts";
import { loadX509 } from "../../client/pki/x509.ts";
import { createAuthority, type Identity, signCertificate } from "../../client/pki/certificate.ts";
import { readContents } from "../../client/serving-certificates/pkcs10.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";

/** The current time in all tests. */
export const now = new Date();

/** The parts of a request that a test can change. By default, the request is the one that a kubelet sends. */
export interface RequestOptions {
  readonly name?: string;
  readonly subject?: readonly Readonly<Record<string, string[]>>[];
  readonly names?: readonly { readonly type: "dns" | "ip" | "email" | "url"; readonly value: string }[];
  readonly username?: string;
  readonly groups?: readonly string[];
  readonly usages?: readonly string[];
  readonly signerName?: string;
  readonly ageMinutes?: number;
  readonly conditions?: readonly string[];
  readonly keys?: webcrypto.CryptoKeyPair;
  readonly hash?: string;
  /** An extension that the request contains in addition to the subject alternative names. */
  readonly moreExtensions?: "ca" | "names";
  readonly challenge?: boolean;
  /** Changes the PEM text. */
  readonly change?: (pem: string) => string;
}

export const workerNames = [
  { type: "dns", value: "worker-0" },
  { type: "ip", value: "10.240.0.20" },
] as const;

/** Creates a certificate signing request object in the form in which the API server returns it. */
export async function requestObject(options: RequestOptions = {}): Promise<Record<string, unknown>> {
  const {
    name = "csr-1",
    username = "system:node:worker-0",
    groups = ["system:nodes", "system:authenticated"],
  } = options;
  const {
    usages = ["digital signature", "key encipherment", "server auth"],
    ageMinutes = 1,
    conditions = [],
  } = options;
  const { change = (pem) => pem, signerName = "kubernetes.io/kubelet-serving" } = options;
  return {
    metadata: {
      name,
      uid: `uid-${name}`,
      resourceVersion: "7",
      creationTimestamp: new Date(now.getTime() - ageMinutes * 60_000).toISOString(),
    },
    spec: {
      request: Buffer.from(change(await requestPem(options))).toString("base64"),
      signerName,
      username,
      groups,
      usages,
    },
    status: conditions.length === 0 ? {} : { conditions: conditions.map((type) => ({ type, status: "True" })) },
  };
}

async function requestPem(options: RequestOptions): Promise<string> {
  const x509 = await loadX509();
  const { subject = [{ O: ["system:nodes"] }, { CN: ["system:node:worker-0"] }], names = workerNames } = options;
  const { keys = await generateKeys("ecdsa"), hash = "SHA-256", moreExtensions, challenge = false } = options;
  const alternative = new x509.SubjectAlternativeNameExtension([...names]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject.map((part) => ({ ...part })),
    keys,
    signingAlgorithm: { ...keys.privateKey.algorithm, hash },
    extensions: [
      ...(names.length === 0 ? [] : [alternative]),
      ...(moreExtensions === "ca" ? [new x509.BasicConstraintsExtension(true)] : []),
      ...(moreExtensions === "names" ? [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "b" }])] : []),
    ],
    attributes: challenge ? [new x509.ChallengePasswordAttribute("secret")] : [],
  });
  return `${request.toString("pem").trimEnd()}\n`;
}

export interface RequestApiOptions {
  readonly requests: readonly Record<string, unknown>[];
  readonly nodes?: Readonly<Record<string, unknown>>;
  /** The names that issued certificates contain instead of the requested names. */
  readonly issuedNames?: readonly string[];
  /** Whether another CA signs. */
  readonly otherCa?: boolean;
  /** Whether the controller manager issues certificates; true by default. */
  readonly issues?: boolean;
  /** The HTTP status of responses to approvals; 200 by default. */
  readonly approval?: number;
}

/** The Node object of worker-0, as its kubelet reports it. */
export const workerNode = {
  spec: {},
  status: {
    addresses: [
      { type: "InternalIP", address: "10.240.0.20" },
      { type: "Hostname", address: "worker-0" },
    ],
  },
};

/** Creates an API server with a controller manager that issues a certificate for each approved request. */
export async function openRequestApi(options: RequestApiOptions) {
  const { requests, nodes = { "worker-0": workerNode }, issuedNames, otherCa = false } = options;
  const { issues = true, approval = 200 } = options;
  const authority = (): Promise<Identity> =>
    createAuthority({ subject: { CN: "Kubernetes", O: "Kubernetes" }, days: 10, algorithm: "ecdsa" }, now);
  const ca = await authority();
  const signer = otherCa ? await authority() : ca;
  const calls: string[] = [];
  const issued = new Map<string, string>();
  const find = (name: string) => requests.find((one) => Object(one["metadata"]).name === name);

  async function issue(name: string): Promise<void> {
    const pem = Buffer.from(Object(find(name)?.["spec"]).request, "base64").toString("latin1");
    const contents = await readContents(pem);
    if (typeof contents === "string") throw new Error(contents);
    const curve = { name: "ECDSA", namedCurve: "P-256" };
    const publicKey = await webcrypto.subtle.importKey("spki", new Uint8Array(contents.spki), curve, true, ["verify"]);
    const leaf = {
      subject: { CN: "system:node:worker-0", O: "system:nodes" },
      usages: ["serverAuth"] as const,
      names: issuedNames ?? [...contents.dnsNames, ...contents.addresses],
      days: 1,
      publicKey,
    };
    const certificate = await signCertificate(signer, leaf, { now, daysField: "days" });
    issued.set(name, Buffer.from(certificate).toString("base64"));
  }

  const api: KubernetesApi = async (method, path, { body }) => {
    const [place = "", query = ""] = path.split("?");
    const parts = place.split("/");
    calls.push(`${method} ${place}`);
    if (method === "GET" && parts.at(-1) === "certificatesigningrequests")
      return { status: 200, body: { items: query === "" ? [] : requests, metadata: {} } };
    if (method === "GET" && place.startsWith("/api/v1/nodes/")) {
      const node = nodes[parts.at(-1) ?? ""];
      return node === undefined ? { status: 404, body: {} } : { status: 200, body: node };
    }
    const name = (method === "PUT" ? parts.at(-2) : parts.at(-1)) ?? "";
    if (method === "PUT" && approval === 200) {
      if (issues) await issue(name);
      const certificate = issued.get(name);
      const status = { ...Object(body).status, ...(certificate === undefined ? {} : { certificate }) };
      Object.assign(find(name) ?? {}, { status });
    }
    if (method === "PUT") return { status: approval, body: {} };
    const certificate = issued.get(name);
    return { status: 200, body: { ...find(name), status: certificate === undefined ? {} : { certificate } } };
  };
  return { api, ca: ca.certificate, calls };
}
