import type { ByEdition } from "../edition.ts";

const tls13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
/** The suites for TLS 1.2 with forward secrecy and authenticated encryption. */
const modern = ["ECDSA", "RSA"].flatMap((key) =>
  ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305", "CHACHA20_POLY1305_SHA256"].map(
    (rest) => `TLS_ECDHE_${key}_WITH_${rest}`,
  ),
);
const plainRsa = ["TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384"];
const cbc = ["ECDSA", "RSA"].flatMap((key) =>
  ["AES_128_CBC_SHA", "AES_256_CBC_SHA"].map((rest) => `TLS_ECDHE_${key}_WITH_${rest}`),
);
const oldest = [
  "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
  "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
  "TLS_RSA_WITH_AES_128_CBC_SHA",
  "TLS_RSA_WITH_AES_256_CBC_SHA",
];

/** The cipher suites that the benchmark accepts. Each edition's list starts with the recommended suites. */
export const acceptedCiphers: ByEdition<readonly string[]> = [
  ["1.20", [...modern.filter((suite) => !suite.endsWith("POLY1305_SHA256")), ...plainRsa]],
  ["1.23", [...modern, ...tls13, ...plainRsa, ...cbc, ...oldest]],
  ["1.10", [...modern, ...tls13, ...cbc]],
  ["1.12", [...modern, ...tls13]],
];

/** The suites that every Kubernetes release since 1.20 supports and every edition accepts. */
export const recommendedCiphers = modern.filter((suite) => !suite.endsWith("POLY1305_SHA256")).join(",");
