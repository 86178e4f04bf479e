import type { Cause } from "../evidence.ts";

/**
 * The causes if a program cannot use a file that one of its flags refers to. Causes that concern specific files come
 * earlier.
 */
export const certificates: readonly Cause[] = [
  {
    id: "key-mismatch",
    pattern: /tls: private key (?:type )?does not match public key/,
    message: "a private key does not match its certificate",
    remedy: "give {component} the key that its certificate was issued for (compare {certificate_flag} with {key_flag})",
  },
  {
    id: "certificate-not-pem",
    pattern:
      /tls: failed to find (?:any PEM data|"\S+" PEM block|PEM block).*in (?<what>certificate|key) input|tls: failed to parse (?:private|certificate)/,
    message: "a certificate or key that it reads is not in PEM format",
    remedy:
      "convert the file to PEM, with -----BEGIN at the start of a line ({certificate_flag} or {key_flag}); `khw-client pki check` shows which file is wrong",
  },
  {
    id: "file-unreadable",
    pattern: /(?:open|stat|read) (?<file>\/\S+): permission denied/,
    message: "it is not allowed to read {file}",
    remedy: "make root the owner of {file} ({flag}) and its folder, and run {unit} as root (no User= in the unit)",
  },
  {
    id: "file-missing",
    pattern: /(?:open|stat|read) (?<file>\/\S+): no such file or directory/,
    message: "{file}, which {flag} refers to, does not exist",
    remedy:
      "put the file at {file}, or correct {flag}; if the file is one of the cluster's credentials, run `khw-client bootstrap`, which copies it to the node",
  },
];
