/**
 * The Common Name of the certificate with which API servers call extension API servers. Extension API servers trust the
 * user name in a request's headers only if the client has this Common Name.
 */
export const frontProxyUser = "front-proxy-client";
