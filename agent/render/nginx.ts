import { credentialFile } from "../paths.ts";

/**
 * Renders the lab's nginx site for the load balancer's health check, and makes nginx verify the API server's
 * certificate.
 *
 * The lab sets a CA but leaves `proxy_ssl_verify` at its default, which is off. nginx cannot verify IP addresses
 * (https://github.com/nginx/nginx/issues/1237), so it verifies a DNS name in the lab's certificate. The `server_name`
 * of the site cannot be used, because the certificate from lab 04 does not contain this name. Instead, the certificate
 * lists `kubernetes.default.svc.cluster` and `kubernetes.svc.cluster.local`.
 *
 * A drained node always answers 503, whether or not its API server is healthy. The load balancer then sends no new
 * connections to the node.
 */
export function renderNginxSite({ drained }: { readonly drained: boolean }): string {
  return `server {
  listen      80;
  server_name kubernetes.default.svc.cluster.local;

  location /healthz {
${drained ? "     return                        503;\n" : ""}     proxy_pass                    https://127.0.0.1:6443/healthz;
     proxy_ssl_trusted_certificate ${credentialFile("ca.pem")};
     proxy_ssl_verify              on;
     proxy_ssl_name                kubernetes.default.svc;
  }
}
`;
}
