/** The load balancer of lab 08: its resources, their values, and the instances behind it. */
export interface LoadBalancerConfig {
  readonly project: string;
  readonly region: string;
  /** The VPC network's name, in the same project. */
  readonly network: string;
  /** The name of the regional static address that clients use. */
  readonly addressName: string;
  /** Whether to reserve the address if it does not exist. If false, a missing address is an error. */
  readonly createAddress: boolean;
  readonly healthCheck: {
    readonly name: string;
    /** The Host header of the probes. */
    readonly host: string;
    readonly requestPath: string;
    readonly port: number;
  };
  readonly firewallRule: {
    readonly name: string;
    /** The sources of probes, in CIDR notation. */
    readonly sourceRanges: readonly string[];
  };
  readonly targetPool: string;
  readonly forwardingRule: string;
  /** The forwarded TCP port, which is the same on the load balancer and on the instances. */
  readonly port: number;
  readonly instances: readonly InstanceName[];
}

export interface InstanceName {
  readonly name: string;
  readonly zone: string;
}

/** The address of the API, and the credentials for it. */
export interface ComputeConnection {
  readonly project: string;
  /** The base URL, including the version. */
  readonly endpoint: string;
  /**
   * `auto`: application default credentials if they exist, and gcloud's credentials if not; `gcloud`: gcloud's
   * credentials; `none`: no authentication. Any other value is the path of a service account's key file.
   */
  readonly auth: string;
}

export const defaultEndpoint = "https://compute.googleapis.com/compute/v1/";

/** All values that lab 08 prescribes. The user chooses the project, the region and the instances. */
export const labLoadBalancer = {
  network: "kubernetes-the-hard-way",
  addressName: "kubernetes-the-hard-way",
  createAddress: false,
  healthCheck: {
    name: "kubernetes",
    host: "kubernetes.default.svc.cluster.local",
    requestPath: "/healthz",
    port: 80,
  },
  firewallRule: {
    name: "kubernetes-the-hard-way-allow-health-check",
    sourceRanges: ["209.85.152.0/22", "209.85.204.0/22", "35.191.0.0/16"],
  },
  targetPool: "kubernetes-target-pool",
  forwardingRule: "kubernetes-forwarding-rule",
  port: 6443,
} as const satisfies Omit<LoadBalancerConfig, "project" | "region" | "instances">;
