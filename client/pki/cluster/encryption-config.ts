import { randomBytes } from "node:crypto";
import { stringify } from "yaml";

/** A key of the provider aescbc. */
export interface EncryptionKey {
  readonly name: string;
  /** Base64 of 32 bytes. */
  readonly secret: string;
}

/** A fresh key of 32 bytes: lab 06's `head -c 32 /dev/urandom | base64`. */
export function newEncryptionKey(name: string): EncryptionKey {
  return { name, secret: randomBytes(32).toString("base64") };
}

/**
 * Lab 06's file: Secrets are written with the first key, and read with any, or as they were before there was one. The kind is
 * the documented one, which every release since 1.13 reads; the lab's own, EncryptionConfig, is a leftover of older docs.
 */
export function renderEncryptionConfig(keys: readonly EncryptionKey[]): string {
  return stringify({
    kind: "EncryptionConfiguration",
    apiVersion: "apiserver.config.k8s.io/v1",
    resources: [
      {
        resources: ["secrets"],
        providers: [{ aescbc: { keys: keys.map(({ name, secret }) => ({ name, secret })) } }, { identity: {} }],
      },
    ],
  });
}
