import { type Fields, isFields, number, objects, rawText, textField, texts } from "./fields.ts";

/** The resources that khw reads. Each has the fields that khw uses, with Google's names (Compute Engine v1). */
export interface Resources {
  readonly addresses: Address;
  readonly httpHealthChecks: HttpHealthCheck;
  readonly firewalls: Firewall;
  readonly targetPools: TargetPool;
  readonly forwardingRules: ForwardingRule;
  readonly instances: Instance;
}

export type Kind = keyof Resources;

export interface Address {
  readonly address: string;
  readonly addressType: string;
}

export interface HttpHealthCheck {
  readonly host: string;
  readonly requestPath: string;
  readonly port: number;
}

export interface Firewall {
  readonly network: string;
  readonly direction: string;
  readonly sourceRanges: readonly string[];
  readonly allowed: readonly Allowed[];
  readonly disabled: boolean;
}

export interface Allowed {
  readonly IPProtocol: string;
  /** If absent or empty, the rule allows all ports. */
  readonly ports?: readonly string[];
}

export interface TargetPool {
  /** Links to health checks; at most one. */
  readonly healthChecks: readonly string[];
  /** Links to instances. */
  readonly instances: readonly string[];
}

export interface ForwardingRule {
  readonly IPAddress: string;
  readonly IPProtocol: string;
  /** The first and the last port, for example `6443-6443`. */
  readonly portRange: string;
  /** A link; empty for a rule that points to a backend service. */
  readonly target: string;
}

export interface Instance {
  readonly name: string;
  /** The instance's numeric ID, which is unique and never reused. */
  readonly id: string;
  /** A link to the zone. */
  readonly zone: string;
  readonly status: string;
  readonly networkInterfaces: readonly NetworkInterface[];
  readonly metadata: InstanceMetadata;
}

/** The items of an instance's metadata, except Google's own. */
export interface InstanceMetadata {
  /** Identifies this version of the metadata. Google rejects a change that is based on another version. */
  readonly fingerprint: string;
  readonly items: readonly { readonly key: string; readonly value: string }[];
}

export interface NetworkInterface {
  /** A link to the VPC network. */
  readonly network: string;
  readonly networkIP: string;
  readonly accessConfigs: readonly { readonly natIP: string }[];
}

/** The health that a pool reports for one of its instances. */
export interface HealthStatus {
  readonly healthState: string;
  /** The address of the forwarding rule that this health refers to. */
  readonly ipAddress: string;
}

/** Reads a resource of each kind from a response. Google omits empty fields. */
export const readers: { readonly [K in Kind]: (fields: Fields) => Resources[K] } = {
  addresses: (f) => ({ address: textField(f, "address"), addressType: textField(f, "addressType", "EXTERNAL") }),
  httpHealthChecks: (f) => ({
    host: textField(f, "host"),
    requestPath: textField(f, "requestPath", "/"),
    port: number(f, "port", 80),
  }),
  firewalls: (f) => ({
    network: textField(f, "network"),
    direction: textField(f, "direction", "INGRESS"),
    sourceRanges: texts(f, "sourceRanges"),
    allowed: objects(f, "allowed").map((rule) => ({
      IPProtocol: textField(rule, "IPProtocol"),
      ports: texts(rule, "ports"),
    })),
    disabled: f["disabled"] === true,
  }),
  targetPools: (f) => ({ healthChecks: texts(f, "healthChecks"), instances: texts(f, "instances") }),
  forwardingRules: (f) => ({
    IPAddress: textField(f, "IPAddress"),
    IPProtocol: textField(f, "IPProtocol"),
    portRange: textField(f, "portRange"),
    target: textField(f, "target"),
  }),
  instances: (f) => ({
    name: textField(f, "name"),
    id: textField(f, "id"),
    zone: textField(f, "zone"),
    status: textField(f, "status"),
    networkInterfaces: objects(f, "networkInterfaces").map((nic) => ({
      network: textField(nic, "network"),
      networkIP: textField(nic, "networkIP"),
      accessConfigs: objects(nic, "accessConfigs").map((access) => ({ natIP: textField(access, "natIP") })),
    })),
    metadata: readMetadata(f["metadata"]),
  }),
};

function readMetadata(value: unknown): InstanceMetadata {
  const fields = isFields(value) ? value : {};
  const items = objects(fields, "items").map((item) => ({ key: rawText(item, "key"), value: rawText(item, "value") }));
  return { fingerprint: rawText(fields, "fingerprint"), items };
}

export function readHealth(answer: Fields): HealthStatus[] {
  return objects(answer, "healthStatus").map((status) => ({
    healthState: textField(status, "healthState"),
    ipAddress: textField(status, "ipAddress"),
  }));
}
