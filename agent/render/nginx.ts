import { credentialFile } from "../paths.ts";

/**
 * Renders the lab's site for the load balancer's health check, and adds verification of the API server's certificate.
 *
 * The lab names a CA but leaves `proxy_ssl_verify` at its default, off. nginx does not compare IP addresses
 * (https://github.com/nginx/nginx/issues/1237), so it verifies a DNS name in the lab's certificate. The site's own name
 * cannot be used, because lab 04's certificate does not contain it. The certificate lists
 * `kubernetes.default.svc.cluster` and `kubernetes.svc.cluster.local` instead.
 *
 * A drained node answers 503, whatever the API server's response, so that the load balancer sends no new connections.
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
