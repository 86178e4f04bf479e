/** The fields of a resource or a response. The schema checks their types. */
export type Fields = Readonly<Record<string, unknown>>;

/** Returns a field's value as text: the value if it is text, otherwise its JSON. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/** Returns a field (absent, one value or a list) as a list of texts. */
export function textsOf(value: unknown): readonly string[] {
  return [value ?? []].flat().map(textOf);
}

/** Returns the objects in a field that may be absent. */
export function fieldsOf(value: unknown): readonly Fields[] {
  const isFields = (item: unknown): item is Fields => typeof item === "object" && item !== null;
  return [value ?? []].flat().filter(isFields);
}

/**
 * The fields of every resource. The types below list the fields that the emulator itself reads; other fields pass
 * through.
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

/** A protocol and ports, as in a firewall's `allowed` and `denied`. Without ports, all ports match. */
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
  /** Always in the form `FIRST-LAST`. */
  readonly portRange: string;
  readonly target: string;
}

export interface Instance extends Resource {
  readonly status: string;
  readonly tags?: { readonly items?: readonly string[] };
  readonly networkInterfaces: readonly { readonly network: string; readonly networkIP: string }[];
}

/** The collections whose resources the emulator itself reads. */
export interface Collections {
  readonly addresses: Address;
  readonly httpHealthChecks: HttpHealthCheck;
  readonly firewalls: Firewall;
  readonly targetPools: TargetPool;
  readonly forwardingRules: ForwardingRule;
  readonly instances: Instance;
}
