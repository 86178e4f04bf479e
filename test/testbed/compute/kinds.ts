import { completeForwardingRule, fingerprintOf } from "./forwarding-rule.ts";
import type { Kind } from "./kind.ts";
import { metadataOf } from "./metadata.ts";
import { addressUse, allotAddress, checkInstances, checkTimes, checkTraffic } from "./rules.ts";

/** The label fingerprint that Google returns for a resource without labels. */
const noLabels = { labelFingerprint: "42WmSpB8rSM=" };

/** The kinds of resources that khw and the lab create, by collection. The defaults come from Google's reference. */
export const kinds: Readonly<Record<string, Kind>> = {
  addresses: {
    noun: "address",
    defaults: { description: "", addressType: "EXTERNAL", networkTier: "PREMIUM", ...noLabels },
    references: [],
    complete: allotAddress,
    derived: addressUse,
  },
  instances: {
    noun: "instance",
    defaults: { metadata: metadataOf([]) },
    references: [],
  },
  httpHealthChecks: {
    noun: "http_health_check",
    defaults: {
      description: "",
      host: "",
      port: 80,
      requestPath: "/",
      checkIntervalSec: 5,
      timeoutSec: 5,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    },
    references: [],
    complete: checkTimes,
  },
  firewalls: {
    noun: "firewall",
    defaults: { description: "", priority: 1000, direction: "INGRESS", disabled: false, logConfig: { enable: false } },
    references: [{ field: "network", mustExist: true }],
    complete: checkTraffic,
  },
  targetPools: {
    noun: "target_pool",
    defaults: { description: "", sessionAffinity: "NONE" },
    references: [
      // A pool may refer to instances that do not exist: "the instances need not exist at the time of target pool
      // creation" (google_compute_target_pool in the Terraform provider).
      { field: "instances", list: Number.MAX_SAFE_INTEGER, mustExist: false },
      // Google's documentation: "Only one health check can be attached to a particular target pool" (Google, "Using
      // target pools").
      { field: "healthChecks", list: 1, mustExist: true },
    ],
    complete: checkInstances,
  },
  forwardingRules: {
    noun: "forwarding_rule",
    defaults: {
      description: "",
      IPProtocol: "TCP",
      loadBalancingScheme: "EXTERNAL",
      networkTier: "PREMIUM",
      ...noLabels,
    },
    references: [{ field: "target", mustExist: true }],
    complete: completeForwardingRule,
    derived: (resource) => ({ fingerprint: fingerprintOf(resource) }),
  },
};
