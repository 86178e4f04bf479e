import type * as wire from "./gen/khw/agent/v1/agent.ts";
import { refuse, show } from "./validate.ts";

/**
 * The KMS plugin on a controller. The API server uses the plugin for encryption, as configured in
 * encryption-config.yaml.
 */
export interface KmsPlugin {
  /** The absolute path of the plugin's unix socket. */
  readonly socket: string;
  /** The plugin's systemd unit, with its suffix. khw does not write this unit. */
  readonly unit: string;
}

/** The kernel's limit on the length of a socket path (unix(7)). */
const longestSocket = 107;

/** The units of a control plane. A plugin must have a separate unit. */
const ownUnits: ReadonlySet<string> = new Set(
  ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "nginx", "khw-agent"].map(
    (name) => `${name}.service`,
  ),
);

/** @throws KhwError INVALID_ARGUMENT */
export function parseKmsPlugin(found: wire.KmsPlugin | undefined): KmsPlugin | undefined {
  if (found === undefined) return undefined;
  return { socket: parseSocket("kms.socket", found.socket), unit: parseKmsUnit("kms.unit", found.unit) };
}

/** Parses the path of a unix socket. The path must be safe in YAML, in a unit and in a shell's command line. */
export function parseSocket(field: string, path: string): string {
  if (!/^(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/.test(path)) {
    refuse(field, `${show(path)} cannot be the path of a socket`, "use an absolute path, for example /run/kms/socket");
  }
  if (path.length > longestSocket)
    refuse(field, `the path has ${path.length} characters; a socket's path has at most ${longestSocket}`);
  return path;
}

/** Parses the name of the plugin's unit. */
export function parseKmsUnit(field: string, unit: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}\.(?:service|socket)$/.test(unit))
    refuse(field, `${show(unit)} cannot be the plugin's unit`, "use the name of a service, for example kms.service");
  if (ownUnits.has(unit)) refuse(field, `${unit} is a unit of the control plane, not of a KMS plugin`);
  return unit;
}

/**
 * Parses the plugin's name, which is part of every value that it encrypts. The API server allows no colon in the name
 * (validation_encryption.go in k8s.io/apiserver), and reads a word such as "on" as a boolean.
 */
export function parseKmsName(field: string, name: string): string {
  if (!/^[A-Za-z][A-Za-z0-9._-]{0,62}$/.test(name) || /^(?:y|n|yes|no|on|off|true|false|null)$/i.test(name)) {
    refuse(
      field,
      `${show(name)} cannot be the name of a KMS plugin`,
      "use at most 63 letters, digits, dots, hyphens and underscores, and start with a letter",
    );
  }
  return name;
}
