/** A KMS plugin, as encryption.kms in khw.yaml describes it. */
export interface Kms {
  /** The plugin's name, which is part of every value that the plugin encrypts. */
  readonly name: string;
  /** The path of the plugin's Unix socket on the controllers. */
  readonly socket: string;
  readonly timeoutMillis: number;
  /** The systemd unit that runs the plugin on the controllers. */
  readonly unit: string;
}

/** An item in the encryption configuration's list of providers: a KMS plugin that encrypts values. */
export interface KmsProvider {
  readonly kind: "kms";
  readonly name: string;
  /** The item as it is written in the file. */
  readonly plain: unknown;
}

/**
 * Returns the plugin's item in the list of providers. Always uses v2 of the plugin API, because Kubernetes disables v1
 * by default.
 */
export function toKmsProvider({ name, socket, timeoutMillis }: Kms): KmsProvider {
  const kms = { apiVersion: "v2", name, endpoint: `unix://${socket}`, timeout: `${timeoutMillis}ms` };
  return { kind: "kms", name, plain: { kms } };
}
