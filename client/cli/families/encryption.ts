import { Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { noRollback } from "./options.ts";
import { desired, reaching } from "./settings.ts";

/** Commands for the keys that encrypt Kubernetes Secrets in etcd. */
export const encryptionCommands: readonly CommandSpec[] = [
  {
    path: ["encryption", "rotate"],
    summary: "replace the encryption key for Secrets while the cluster stays in use",
    details:
      "Adds a new key, moves it to the first position, rewrites all stored values with it, and removes the old keys. After each of these stages, every API server is updated, one node at a time, and each node is drained first. encryption-config.yaml in the credentials folder records the progress, and its older versions are kept. If the rotation is interrupted, run the same command again. Ctrl-C stops the command after the current node. The rotation also encrypts Secrets that are not encrypted yet. With encryption.kms, the command moves all values to the KMS plugin, or rewrites them with the plugin's current key.",
    examples: ["khw-client encryption rotate", "khw-client encryption rotate --provider secretbox"],
    settings: [...desired, "timeouts"],
    options: [
      new Option("--provider <kind>", "type of the new key (default: the current key's type)").choices([
        "aescbc",
        "aesgcm",
        "secretbox",
      ]),
      noRollback,
    ],
    run: async (call) => {
      const { encryptionRotate } = await import("../../commands/encryption-rotate.ts");
      const options = {
        output: call.output,
        provider: call.text("provider") || undefined,
        noRollback: !call.flag("rollback"),
      };
      return encryptionRotate(await call.config(), call.context, options);
    },
  },
  {
    path: ["encryption", "status"],
    summary: "show which keys the data in etcd is encrypted with",
    examples: ["khw-client encryption status --nodes controller-0,1,2"],
    settings: [...reaching, "credentials"],
    run: async (call) => {
      const { encryptionStatus } = await import("../../commands/encryption-status.ts");
      return encryptionStatus(await call.config(), call.context, { output: call.output });
    },
  },
];
