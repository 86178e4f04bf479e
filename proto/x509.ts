import type * as X509 from "@peculiar/x509";

/**
 * Loads the X.509 library; only commands and processes that make certificates or requests need it.
 *
 * The library's registry of algorithms comes from tsyringe, which requires the functions for decorator metadata. None
 * of the library's classes has metadata, so two functions that return no metadata are enough.
 */
export async function loadX509(): Promise<typeof X509> {
  if (!("getMetadata" in Reflect)) {
    Object.assign(Reflect, { getMetadata: () => undefined, getOwnMetadata: () => undefined });
  }
  return import("@peculiar/x509");
}
