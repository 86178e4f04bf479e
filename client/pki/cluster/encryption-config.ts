import { stringify } from "yaml";
import { type Key, toPlain } from "../encryption/provider.ts";

/**
 * Returns lab 06's file: Secrets are written with the key, and read with the key or in the clear. The kind is the
 * documented one, which every release since 1.13 reads. The lab's kind, EncryptionConfig, comes from older docs.
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
