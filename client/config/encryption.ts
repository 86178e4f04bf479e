import { parseKmsName, parseKmsUnit, parseSocket } from "../../proto/kms.ts";
import { KhwError } from "../../proto/errors.ts";
import { parseKubernetesVersion } from "../../proto/kubernetes-versions.ts";
import type { Kms } from "../pki/kms.ts";
import { checked, duration, optional } from "./parsers.ts";
import type { Group, SettingValue } from "./setting.ts";

/** The group `encryption` in khw.yaml. */
export const encryption = {
  title: "How the API servers encrypt Secrets. See also pki.encryptionProvider.",
  keys: {
    kms: {
      title: "A KMS plugin (v2, from Kubernetes 1.27 on) that encrypts instead of a key in encryption-config.yaml.",
      keys: {
        name: {
          help: "Name of the plugin, which is stored with every value. Do not change the name later.",
          default: null,
          flag: { name: "--kms-name", value: "name" },
          parse: optional(checked(parseKmsName)),
        },
        socket: {
          help: "Path of the plugin's unix socket on the controllers.",
          default: null,
          flag: { name: "--kms-socket", value: "path" },
          parse: optional(checked(parseSocket)),
        },
        unit: {
          help: "The systemd unit on the controllers that runs the plugin. You install the plugin and this unit.",
          default: null,
          flag: { name: "--kms-unit", value: "unit" },
          parse: optional(checked(parseKmsUnit)),
        },
        timeout: {
          help: "Time limit for a call to the plugin.",
          default: "3s",
          flag: { name: "--kms-timeout", value: "duration" },
          parse: duration,
        },
      },
    },
  },
} as const satisfies Group;

type Encryption = SettingValue<typeof encryption>;

/** The first minor release that accepts v2 of the plugin API without a feature gate (KEP-3299). */
const kmsFrom = 27;

/**
 * Returns the KMS plugin; undefined if khw.yaml names none.
 * @throws KhwError CONFIG_INVALID if the plugin's settings are incomplete
 */
export function kmsOf({ kms }: Encryption): Kms | undefined {
  const { name, socket, unit, timeout: timeoutMillis } = kms;
  if (name !== undefined && socket !== undefined && unit !== undefined) return { name, socket, unit, timeoutMillis };
  const parts = { name, socket, unit };
  const missing = Object.entries(parts).flatMap(([key, value]) =>
    value === undefined ? [`encryption.kms.${key}`] : [],
  );
  if (missing.length === Object.keys(parts).length) return undefined;
  throw new KhwError("CONFIG_INVALID", `${missing.join(" and ")} must be set too`, {
    hint: "set name, socket and unit in encryption.kms, or none of them",
  });
}

/** @throws KhwError CONFIG_INVALID if khw.yaml names a KMS plugin that the release cannot use */
export function refuseKmsBefore(encryption: Encryption, version: string): void {
  const { minor } = parseKubernetesVersion("kubernetes.version", version);
  if (kmsOf(encryption) === undefined || minor >= kmsFrom) return;
  throw new KhwError(
    "CONFIG_INVALID",
    `encryption.kms needs Kubernetes 1.${kmsFrom} or later; 1.${minor} has no KMS v2 without a feature gate`,
    { hint: "remove encryption.kms from khw.yaml; pki.encryptionProvider: secretbox works in every release" },
  );
}
