import type * as X509 from "@peculiar/x509";

/**
 * The X.509 library, loaded by those commands and processes that make certificates or requests, and by no other.
 *
 * Its registry of algorithms comes from tsyringe, which refuses to load unless decorator metadata can be asked for. None of the
 * library's classes has any, so two functions that know none are all it takes.
 */
export async function loadX509(): Promise<typeof X509> {
  if (!("getMetadata" in Reflect)) {
    Object.assign(Reflect, { getMetadata: () => undefined, getOwnMetadata: () => undefined });
  }
  return import("@peculiar/x509");
}
