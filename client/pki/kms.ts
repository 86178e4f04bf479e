/** A KMS plugin, as encryption.kms in khw.yaml describes it. */
export interface Kms {
  /** The plugin's name, which is part of every value that the plugin encrypts. */
  readonly name: string;
  /** The path of its unix socket on the controllers. */
  readonly socket: string;
  readonly timeoutMillis: number;
  /** The systemd unit on the controllers that runs the plugin. */
  readonly unit: string;
}

/** An item in the list of providers that lets a KMS plugin encrypt. */
export interface KmsProvider {
  readonly kind: "kms";
  readonly name: string;
  /** The item as it appears in the file. */
  readonly plain: unknown;
}

/** Returns the item for the plugin. Always uses v2 of the plugin API, because Kubernetes has disabled v1. */
export function toKmsProvider({ name, socket, timeoutMillis }: Kms): KmsProvider {
  const kms = { apiVersion: "v2", name, endpoint: `unix://${socket}`, timeout: `${timeoutMillis}ms` };
  return { kind: "kms", name, plain: { kms } };
}
