import { credentialFile } from "../paths.ts";

/**
 * The lab's site for the load balancer's health check, with verification of the API server switched on.
 *
 * The lab names a CA but leaves `proxy_ssl_verify` at its default, off. Verified is a DNS name of the lab's certificate,
 * since nginx compares no IP addresses (https://github.com/nginx/nginx/issues/1237), and not the site's own name, which
 * lab 04 leaves out: it lists `kubernetes.default.svc.cluster` and `kubernetes.svc.cluster.local`.
 *
 * Drained, it answers 503 whatever the API server says, so that the load balancer sends no new connection here.
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
