import type * as X509 from "@peculiar/x509";

/**
 * Loads the X.509 library, which is needed only to create certificates and certificate signing requests.
 *
 * The library keeps its algorithms in a tsyringe registry. At load time, tsyringe requires functions that read
 * decorator metadata. The library's classes have no metadata, so two functions that return undefined are enough.
 */
export async function loadX509(): Promise<typeof X509> {
  if (!("getMetadata" in Reflect)) {
    Object.assign(Reflect, { getMetadata: () => undefined, getOwnMetadata: () => undefined });
  }
  return import("@peculiar/x509");
}
