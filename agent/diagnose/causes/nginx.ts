import type { Cause } from "../evidence.ts";

const components = ["nginx"];

export const nginx: readonly Cause[] = [
  {
    id: "nginx-certificate-unusable",
    components,
    pattern:
      /\[emerg\].*(?:SSL_CTX_\w+|cannot load certificate(?: key)?|PEM_read_bio\w*|BIO_new_file)\(?\s*"(?<file>[^"]+)"/,
    message: "it cannot load the certificate {file}",
    remedy:
      "put the PEM file at {file} (`khw-client bootstrap` copies ca.pem to the nodes), or fix proxy_ssl_trusted_certificate in nginx's site configuration",
  },
  {
    id: "nginx-file-missing",
    components,
    pattern: /\[emerg\].*(?:open\(\)|mkdir\(\)|opendir\(\)) "(?<file>[^"]+)" failed \((?<why>[^)]*)\)/,
    message: "it cannot open {file} ({why})",
    remedy: "restore {file}, or the file that includes it (check with `nginx -t` on the node)",
  },
  {
    id: "nginx-config-invalid",
    components,
    pattern: /\[emerg\].* in (?<file>\/\S+):(?<line>\d+)/,
    message: "its configuration has an error at line {line} of {file}",
    remedy:
      "correct line {line} of {file} (check with `nginx -t` on the node); `khw-client bootstrap` restores khw's own site",
  },
];
