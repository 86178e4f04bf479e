import type { X509Certificate } from "node:crypto";
import { type PeerCertificate, TLSSocket } from "node:tls";
import { parseName } from "./subject.ts";

/**
 * Protects this process from a crash that the certificate of a TLS peer can cause.
 *
 * Node 24.21 crashes in `getPeerCertificate()` if a key in the peer's certificate chain is on a curve without a NIST
 * name (brainpool). Node's TLS client calls this method for every server, and grpc-js calls it for every caller. The
 * replacement reads the same certificate with `getPeerX509Certificate()`, which does not crash. See
 * docs/decisions/peer-certificates.md.
 */
export function guardPeerCertificates(): void {
  const { prototype } = TLSSocket;
  const read = Reflect.get(prototype, "getPeerX509Certificate");
  const certificates = new WeakMap<TLSSocket, X509Certificate>();
  replace("getPeerX509Certificate", function first(this: TLSSocket) {
    // On a client's socket, reading the certificate removes it from Node's chain. A second call would return the next
    // certificate in the chain, or undefined.
    const certificate = certificates.get(this) ?? read.call(this);
    if (certificate !== undefined) certificates.set(this, certificate);
    return certificate;
  });
  replace("getPeerCertificate", peerCertificate);
}

function replace(name: keyof TLSSocket, value: unknown): void {
  Object.defineProperty(TLSSocket.prototype, name, { value, configurable: true });
}

/** Returns an empty object if the peer presents no certificate, as Node does. */
function peerCertificate(this: TLSSocket): Partial<PeerCertificate> {
  const certificate = this.getPeerX509Certificate();
  return certificate === undefined ? {} : toLegacy(certificate);
}

/**
 * Converts the certificate to an object with the fields that Node, grpc-js and undici read. Omits issuerCertificate and
 * the parameters of the key. Each field is computed when it is read, because most connections read only some of the
 * fields.
 */
function toLegacy(certificate: X509Certificate): Partial<PeerCertificate> {
  const { subjectAltName, keyUsage } = certificate;
  return {
    get subject() {
      return parseDistinguishedName(certificate.subject);
    },
    get issuer() {
      return parseDistinguishedName(certificate.issuer);
    },
    ...(subjectAltName === undefined ? {} : { subjectaltname: subjectAltName }),
    get ca() {
      return certificate.ca;
    },
    get valid_from() {
      return certificate.validFrom;
    },
    get valid_to() {
      return certificate.validTo;
    },
    get fingerprint() {
      return certificate.fingerprint;
    },
    get fingerprint256() {
      return certificate.fingerprint256;
    },
    get fingerprint512() {
      return certificate.fingerprint512;
    },
    // According to Node's types, keyUsage is always a list. In fact, it is undefined for a certificate without the
    // extension.
    ...(Array.isArray(keyUsage) ? { ext_key_usage: keyUsage } : {}),
    get serialNumber() {
      return certificate.serialNumber;
    },
    get raw() {
      return certificate.raw;
    },
  };
}

/** Parses a distinguished name. An attribute with several values becomes a list, as in Node. */
function parseDistinguishedName(text: string): PeerCertificate["subject"] {
  return Object.fromEntries(
    Object.entries(parseName(text)).map(([attribute, values]): [string, string | string[]] => {
      const [first = "", ...others] = values;
      return [attribute, others.length === 0 ? first : [...values]];
    }),
  );
}
