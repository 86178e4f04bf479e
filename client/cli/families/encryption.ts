import { Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { desired, reaching } from "./settings.ts";

/** The keys that Kubernetes encrypts with in etcd. */
export const encryptionCommands: readonly CommandSpec[] = [
  {
    path: ["encryption", "rotate"],
    summary: "replace the key that Secrets are encrypted with in etcd, without anybody noticing",
    details:
      "A new key is added, made the first, everything is stored anew with it, the old ones are dropped; between each two of these every API server is brought to it, one after the other, drained. encryption-config.yaml in credentials.folder says how far that is, and its older versions stay beside it. Cut short anywhere, the same command goes on from there; Ctrl-C finishes the node in hand. Where Secrets are not encrypted yet, they are afterwards.",
    examples: ["khw-client encryption rotate", "khw-client encryption rotate --provider secretbox"],
    settings: [...desired, "timeouts"],
    options: [
      new Option("--provider <kind>", "the new key's; as the present one's where not given").choices([
        "aescbc",
        "aesgcm",
        "secretbox",
      ]),
    ],
    run: async (call) => {
      const { encryptionRotate } = await import("../../commands/encryption-rotate.ts");
      const options = { output: call.output, provider: call.text("provider") || undefined };
      return encryptionRotate(await call.config(), call.context, options);
    },
  },
  {
    path: ["encryption", "status"],
    summary: "show under which keys etcd holds what is encrypted",
    examples: ["khw-client encryption status --nodes controller-0,1,2"],
    settings: [...reaching, "credentials"],
    run: async (call) => {
      const { encryptionStatus } = await import("../../commands/encryption-status.ts");
      return encryptionStatus(await call.config(), call.context, { output: call.output });
    },
  },
];
