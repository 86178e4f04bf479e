import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import type { Compute } from "./compute.ts";
import type { LoadBalancerConfig } from "./config.ts";
import { poolMembersStep } from "./pool-members.ts";
import { globalReference, networkPath, pathOf, type Reference, regionalReference } from "./references.ts";
import type { Allowed } from "./resources.ts";
import { compare, compareSets, resourceStep } from "./resource-step.ts";

/**
 * Returns the steps for lab 08's load balancer, resource by resource. The lab does not set some values, for example a
 * probe's interval, a rule's priority, target tags and descriptions. khw uses Google's defaults for these values, and
 * the user may change them later.
 */
export function loadBalancerSteps(config: LoadBalancerConfig): Step<Compute>[] {
  return [
    addressStep(config),
    healthCheckStep(config),
    firewallStep(config),
    targetPoolStep(config),
    poolMembersStep(config),
    forwardingRuleStep(config),
  ];
}

/** Returns references to the load balancer's own resources. */
export function loadBalancerReferences(config: LoadBalancerConfig) {
  return {
    address: regionalReference(config, "addresses", config.addressName),
    healthCheck: globalReference(config, "httpHealthChecks", config.healthCheck.name),
    firewall: globalReference(config, "firewalls", config.firewallRule.name),
    pool: regionalReference(config, "targetPools", config.targetPool),
    forwardingRule: regionalReference(config, "forwardingRules", config.forwardingRule),
  };
}

/**
 * Returns the static address.
 * @throws KhwError COMPUTE_FAILED if the address is not reserved
 */
export async function publicAddress(
  compute: Compute,
  config: LoadBalancerConfig,
  signal: AbortSignal,
): Promise<string> {
  const { address: reference } = loadBalancerReferences(config);
  const found = await compute.get(reference, signal);
  if (found === undefined) throw noAddress(config, reference);
  return found.address;
}

/** The static address is in the API server's certificate, so khw reserves an address only on request. */
function addressStep(config: LoadBalancerConfig): Step<Compute> {
  const { address: reference } = loadBalancerReferences(config);
  const step = resourceStep({
    id: "address",
    title: `address ${reference.name} is reserved`,
    reference,
    body: async () => ({ addressType: "EXTERNAL" }),
    fixed: async ({ addressType }) => compare("addressType", addressType, "EXTERNAL"),
  });
  return {
    ...step,
    async check(compute, signal) {
      const drift = await step.check(compute, signal);
      if (drift !== null && !config.createAddress) throw noAddress(config, reference);
      return drift;
    },
  };
}

function noAddress({ project, region }: LoadBalancerConfig, { name }: Reference): KhwError {
  return new KhwError("COMPUTE_FAILED", `there is no address ${name} in region ${region} of project ${project}`, {
    hint: `run gcloud compute addresses create ${name} --project ${project} --region ${region}, or use --create-address`,
  });
}

/** Google probes the API server's health through each controller's nginx, as in lab 08. */
function healthCheckStep(config: LoadBalancerConfig): Step<Compute> {
  const { healthCheck: reference } = loadBalancerReferences(config);
  const { host, requestPath, port } = config.healthCheck;
  return resourceStep({
    id: "health-check",
    title: `HTTP health check ${reference.name} requests http://${host}:${port}${requestPath}`,
    reference,
    body: async () => ({ host, requestPath, port, description: "Kubernetes Health Check" }),
    repairable: (found) => [
      ...compare("host", found.host, host),
      ...compare("requestPath", found.requestPath, requestPath),
      ...compare("port", found.port, port),
    ],
    repair: (_, compute, signal) => compute.patch(reference, { host, requestPath, port }, signal),
  });
}

/** Lets Google's probes reach any TCP port on the network, as in the lab. */
function firewallStep(config: LoadBalancerConfig): Step<Compute> {
  const { firewall: reference } = loadBalancerReferences(config);
  const { sourceRanges } = config.firewallRule;
  const network = networkPath(config.project, config.network);
  const rule = { sourceRanges, allowed: [{ IPProtocol: "tcp" }], disabled: false };
  return resourceStep({
    id: "firewall",
    title: `firewall rule ${reference.name} allows health checks`,
    reference,
    body: async () => ({ network, direction: "INGRESS", ...rule }),
    fixed: async (found) => [
      ...compare("network", pathOf(found.network), network),
      ...compare("direction", found.direction, "INGRESS"),
    ],
    repairable: (found) => [
      ...compareSets("sourceRanges", found.sourceRanges, sourceRanges),
      ...compareSets("allowed", found.allowed.map(showAllowed), rule.allowed.map(showAllowed)),
      ...compare("disabled", found.disabled, false),
    ],
    repair: (_, compute, signal) => compute.patch(reference, rule, signal),
  });
}

function showAllowed({ IPProtocol, ports = [] }: Allowed): string {
  return ports.length === 0 ? IPProtocol : `${IPProtocol}:${ports.join(",")}`;
}

/** A pool can have at most one health check, so the target pool must use exactly this health check. */
function targetPoolStep(config: LoadBalancerConfig): Step<Compute> {
  const { pool: reference, healthCheck } = loadBalancerReferences(config);
  return resourceStep({
    id: "target-pool",
    title: `target pool ${reference.name} uses health check ${healthCheck.name}`,
    needs: ["health-check"],
    reference,
    body: async () => ({ healthChecks: [healthCheck.path] }),
    repairable: ({ healthChecks }) => compareSets("healthChecks", healthChecks.map(pathOf), [healthCheck.path]),
    async repair({ healthChecks }, compute, signal) {
      const held = healthChecks.map(pathOf);
      for (const other of held.filter((path) => path !== healthCheck.path)) {
        await compute.changePool(reference, { verb: "removeHealthCheck", healthCheck: other }, signal);
      }
      if (held.includes(healthCheck.path)) return;
      await compute.changePool(reference, { verb: "addHealthCheck", healthCheck: healthCheck.path }, signal);
    },
  });
}

/**
 * The static address points to the pool. A rule with a different target carries other traffic, so it is reported but
 * not changed.
 */
function forwardingRuleStep(config: LoadBalancerConfig): Step<Compute> {
  const { forwardingRule: reference, pool } = loadBalancerReferences(config);
  const ports = `${config.port}-${config.port}`;
  return resourceStep({
    id: "forwarding-rule",
    title: `forwarding rule ${reference.name} forwards port ${config.port} to the pool`,
    needs: ["address", "target-pool"],
    reference,
    body: async (compute, signal) => ({
      IPAddress: await publicAddress(compute, config, signal),
      IPProtocol: "TCP",
      portRange: ports,
      target: pool.path,
    }),
    fixed: async (found, compute, signal) => [
      ...compare("IPAddress", found.IPAddress, await publicAddress(compute, config, signal)),
      ...compare("IPProtocol", found.IPProtocol, "TCP"),
      ...compare("portRange", found.portRange, ports),
      ...compare("target", pathOf(found.target), pool.path),
    ],
  });
}
