import { stringify } from "yaml";
import { type Key, toPlain } from "../encryption/provider.ts";

/**
 * Lab 06's file: Secrets are written with the key, and read with it, or as they were before there was one. The kind is
 * the documented one, which every release since 1.13 reads; the lab's own, EncryptionConfig, is a leftover of older docs.
 */
export function renderEncryptionConfig(key: Key): string {
  return stringify({
    kind: "EncryptionConfiguration",
    apiVersion: "apiserver.config.k8s.io/v1",
    resources: [
      {
        resources: ["secrets"],
        providers: [toPlain({ kind: "aescbc", keys: [key] }), toPlain({ kind: "identity" })],
      },
    ],
  });
}
