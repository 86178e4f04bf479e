/** The fields of a resource or a response. The schema checks their types. */
export type Fields = Readonly<Record<string, unknown>>;

/** Returns a field's value as text. A value that is not text is converted to JSON. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/** Returns the values of a field as a list of texts. The field can be absent, one value or a list. */
export function textsOf(value: unknown): readonly string[] {
  return [value ?? []].flat().map(textOf);
}

/** Returns the objects in a field that may be absent. */
export function fieldsOf(value: unknown): readonly Fields[] {
  const isFields = (item: unknown): item is Fields => typeof item === "object" && item !== null;
  return [value ?? []].flat().filter(isFields);
}

/**
 * The fields that every resource has. The types below list only the fields that the emulator itself reads. All other
 * fields are passed through.
 */
export interface Resource {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  readonly selfLink: string;
  readonly creationTimestamp?: string;
  readonly description?: string;
}

export interface Address extends Resource {
  readonly address: string;
}

export interface HttpHealthCheck extends Resource {
  readonly host?: string;
  readonly port: number;
  readonly requestPath: string;
  readonly checkIntervalSec: number;
  readonly timeoutSec: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

/** A protocol and ports, as in the `allowed` and `denied` fields of a firewall. Without ports, all ports match. */
export interface Traffic {
  readonly IPProtocol: string;
  readonly ports?: readonly string[];
}

export interface Firewall extends Resource {
  readonly network: string;
  readonly direction: "INGRESS" | "EGRESS";
  readonly priority: number;
  readonly disabled: boolean;
  readonly sourceRanges?: readonly string[];
  readonly targetTags?: readonly string[];
  readonly allowed?: readonly Traffic[];
  readonly denied?: readonly Traffic[];
}

export interface TargetPool extends Resource {
  readonly instances?: readonly string[];
  readonly healthChecks?: readonly string[];
  readonly sessionAffinity: string;
}

export interface ForwardingRule extends Resource {
  readonly IPAddress: string;
  readonly IPProtocol: string;
  /** The ports, always in the form `FIRST-LAST`. */
  readonly portRange: string;
  readonly target: string;
}

export interface Instance extends Resource {
  readonly status: string;
  readonly tags?: { readonly items?: readonly string[] };
  readonly networkInterfaces: readonly { readonly network: string; readonly networkIP: string }[];
}

/** The collections that the emulator itself reads, with the type of their resources. */
export interface Collections {
  readonly addresses: Address;
  readonly httpHealthChecks: HttpHealthCheck;
  readonly firewalls: Firewall;
  readonly targetPools: TargetPool;
  readonly forwardingRules: ForwardingRule;
  readonly instances: Instance;
}
