/**
 * The Common Name of the certificate with which API servers call extension API servers. Extension API servers accept
 * the user's name in the headers of a request only from a client with this name.
 */
export const frontProxyUser = "front-proxy-client";
