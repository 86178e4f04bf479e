import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { malformation, type PemBlock, readBlocks } from "./pem-blocks.ts";

/** The value that a file contains, or a description of the file's fault. The description never quotes the file. */
export type Reading<T> =
  | { readonly value: T; readonly problem?: undefined; readonly remedy?: undefined }
  | { readonly problem: string; readonly remedy?: string; readonly value?: undefined };

/**
 * Returns the certificates in PEM text, in order; an empty list if there is no certificate, or if any certificate
 * cannot be read.
 */
export function readCertificates(pem: Uint8Array): readonly X509Certificate[] {
  return certificatesIn(pem).value ?? [];
}

/** Reads the certificates in PEM text, in order. There must be at least one, and all must be readable. */
export function certificatesIn(pem: Uint8Array): Reading<readonly [X509Certificate, ...X509Certificate[]]> {
  const blocks = readBlocks(pem).filter(({ type }) => type === "CERTIFICATE");
  const certificates = blocks.map(({ der }) => attempt(() => new X509Certificate(der)));
  const damaged = certificates.indexOf(undefined);
  if (damaged !== -1) return { problem: `${ordinal(damaged, blocks.length)} is damaged` };
  const headers = blocks.findIndex(({ headers }) => headers.size > 0);
  if (headers !== -1) return { problem: `${ordinal(headers, blocks.length)} has headers, so Kubernetes skips it` };
  const markers =
    Buffer.from(pem)
      .toString("latin1")
      .match(/-----BEGIN CERTIFICATE-----/g) ?? [];
  if (blocks.length > 0 && markers.length > blocks.length) {
    return {
      problem: `has a certificate that Kubernetes cannot find: it ${malformation(pem) ?? "has a damaged block"}`,
    };
  }
  const [first, ...others] = certificates.filter((certificate) => certificate !== undefined);
  return first === undefined ? { problem: whyNone(pem, "certificate") } : { value: [first, ...others] };
}

/** Reads the first private key in PEM text, as Go's TLS and Kubernetes do. */
export function privateKeyIn(pem: Uint8Array): Reading<KeyObject> {
  const block = readBlocks(pem).find(({ type }) => type === "PRIVATE KEY" || type.endsWith(" PRIVATE KEY"));
  if (block === undefined) return { problem: whyNone(pem, "private key") };
  const { type, headers, der } = block;
  if (type === "ENCRYPTED PRIVATE KEY" || headers.get("Proc-Type")?.includes("ENCRYPTED") === true) {
    return {
      problem: "is encrypted with a passphrase, which the programs that use the key cannot ask for",
      remedy: decrypt,
    };
  }
  const form = formOf(block);
  const label = labels[type];
  if (label === undefined) return { problem: `is ${type}, not ${Object.keys(labels).join(", ")}` };
  if (form !== label) return { problem: `is labelled ${type}, but contains ${form ?? "something else"}` };
  const key = attempt(() => createPrivateKey({ key: der, format: "der", type: label }));
  return key === undefined ? { problem: "is damaged, or its kind is not supported" } : { value: key };
}

/** Reads the public keys for service account tokens in PEM text, including keys in certificates. */
export function publicKeysIn(pem: Uint8Array): Reading<readonly KeyObject[]> {
  const blocks = readBlocks(pem);
  if (blocks.some(({ type }) => type.endsWith("PRIVATE KEY")))
    return { problem: "contains a private key instead of the public key" };
  const keys = blocks.flatMap(({ der }) => publicKeyOf(der) ?? []);
  if (keys.length > 0) return { value: keys };
  if (!blocks.some(({ type }) => type === "RSA PUBLIC KEY"))
    return { problem: whyNone(pem, "certificate or public key") };
  return {
    problem: "is RSA PUBLIC KEY (PKCS #1), which Kubernetes cannot read",
    remedy: "convert it: openssl rsa -RSAPublicKey_in -in service-account.pem -pubout",
  };
}

export function isPair(privateKey: KeyObject, publicKey: KeyObject): boolean {
  return createPublicKey(privateKey).equals(publicKey);
}

const decrypt = "decrypt it: openssl pkey -in FILE -out plain.pem; then replace FILE with plain.pem, mode 600";

type KeyForm = "pkcs1" | "pkcs8" | "sec1";

/** The private key labels that both etcd and Kubernetes read, each with its key format. */
const labels: Readonly<Record<string, KeyForm>> = {
  "PRIVATE KEY": "pkcs8",
  "RSA PRIVATE KEY": "pkcs1",
  "EC PRIVATE KEY": "sec1",
};

/**
 * Returns the key format. Each of the three formats is a sequence that starts with a version. Depending on the format,
 * the next element is an integer, an algorithm or the key.
 */
function formOf({ der }: PemBlock): KeyForm | undefined {
  const [tag, length = 0] = der;
  const content = der.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f));
  if (tag !== 0x30 || content[0] !== 0x02 || content[1] !== 1) return undefined;
  return ({ 0x02: "pkcs1", 0x30: "pkcs8", 0x04: "sec1" } as const)[content[3] ?? 0];
}

/** Reads a public key as Kubernetes does: ignores the block's label, and does not accept the format PKCS #1. */
function publicKeyOf(der: Buffer): KeyObject | undefined {
  return (
    attempt(() => new X509Certificate(der).publicKey) ??
    attempt(() => createPublicKey({ key: der, format: "der", type: "spki" }))
  );
}

/** Explains that the text has no block of the required kind. Adds the reason if the text shows it. */
function whyNone(pem: Uint8Array, wanted: string): string {
  const [first] = readBlocks(pem);
  if (first !== undefined) return `has no ${wanted}: it contains ${first.type}`;
  if (pem[0] === 0x30 && pem[1] !== undefined && pem[1] >= 0x80) return `has no ${wanted} in PEM: it is DER`;
  const why = malformation(pem);
  return why === undefined ? `has no ${wanted} in PEM` : `has no ${wanted} that Kubernetes can read: it ${why}`;
}

function ordinal(index: number, count: number): string {
  return count === 1 ? "its certificate" : `certificate number ${index + 1}`;
}

/** Omits OpenSSL's error messages, which are not useful and might quote the contents. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
