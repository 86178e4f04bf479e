import { aggregates, type DesiredState } from "../../proto/desired.ts";
import { frontProxyUser } from "../../proto/front-proxy.ts";
import { credentialFile } from "../paths.ts";
import type { Flag } from "./flags.ts";

/**
 * Returns the API server's flags for the aggregation layer; empty if the cluster has no aggregation layer. Extension
 * API servers expect these header names. No kube-proxy runs on a controller, so the API server itself resolves the
 * services of APIServices and webhooks to the addresses of their endpoints.
 */
export function aggregationFlags(desired: Pick<DesiredState, "credentials">): Flag[] {
  if (!aggregates(desired)) return [];
  return [
    ["enable-aggregator-routing", "true"],
    ["proxy-client-cert-file", credentialFile("front-proxy-client.pem")],
    ["proxy-client-key-file", credentialFile("front-proxy-client-key.pem")],
    ["requestheader-allowed-names", frontProxyUser],
    ["requestheader-client-ca-file", credentialFile("front-proxy-ca.pem")],
    ["requestheader-extra-headers-prefix", "X-Remote-Extra-"],
    ["requestheader-group-headers", "X-Remote-Group"],
    ["requestheader-username-headers", "X-Remote-User"],
  ];
}
