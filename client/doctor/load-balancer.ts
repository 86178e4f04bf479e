import { toKhwError } from "../../proto/errors.ts";
import { Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { HealthState } from "../gce/health.ts";
import { type DoctorCheck, type Finding, findingOf, places } from "./check.ts";
import { type Facts, type NodeFacts, saidBy } from "./facts.ts";

const { loadBalancer: where } = places;

/**
 * Checks every resource, and compares Google's health of the nodes with their own reports. No checks if khw manages
 * no load balancer.
 */
export async function loadBalancerChecks(facts: Facts): Promise<DoctorCheck[]> {
  const { cloud } = facts.cluster;
  if (cloud === undefined) return [];
  const { loadBalancerSteps } = await import("../gce/load-balancer.ts");
  const resources = loadBalancerSteps(cloud.loadBalancer).map((step): DoctorCheck => ({
    where,
    title: step.title,
    run: async (signal) => {
      try {
        const drift = await step.check(cloud.compute, signal);
        if (drift === null) return [];
        const remedy = "khw-client lb create";
        return [{ severity: "error", where, subject: step.id, message: drift.summary, remedy }];
      } catch (error) {
        return [findingOf(toKhwError(error), where, step.id)];
      }
    },
  }));
  const backends = facts.config.nodes.map(({ name }): DoctorCheck => ({
    where,
    title: `Google's health check sees ${name} as ${name} sees itself`,
    run: async () => {
      const backend = (await facts.backends()).find((one) => one.name === name);
      const said = await saidBy(facts, name);
      const found = backendFinding(name, backend?.state ?? "MISSING", said);
      return found === undefined ? [] : [{ where, subject: `backend ${name}`, ...found }];
    },
  }));
  return [...resources, ...backends];
}

/**
 * Returns the finding for a node with this health by Google and this own report (undefined if it does not answer).
 */
export function backendFinding(
  name: string,
  state: HealthState,
  said: Pick<NodeFacts, "status"> | undefined,
): Omit<Finding, "where" | "subject"> | undefined {
  const drained = said?.status.maintenance?.drained === true;
  const ill = said?.status.components.find(
    (component) => inTheWay.has(component.name) && component.health !== Health.HEALTH_HEALTHY,
  );
  switch (state) {
    case "MISSING":
      return { severity: "error", message: "is not in the target pool", remedy: "khw-client lb create" };
    case "UNKNOWN":
      return {
        severity: "warning",
        message: "Google says nothing about it yet",
        remedy: "a forwarding rule must lead to the pool (khw-client lb create); then ask again in a minute",
      };
    case "HEALTHY":
      if (said === undefined) {
        return { severity: "note", message: "is HEALTHY, so it serves; only its agent does not answer", remedy: "" };
      }
      if (drained) {
        return {
          severity: "warning",
          message: "is drained, and still HEALTHY: the load balancer sends it clients",
          remedy: `khw-client drain ${name} waits until Google has seen it; does the health check ask this node's nginx?`,
        };
      }
      if (ill === undefined) return undefined;
      return {
        severity: "warning",
        message: `is HEALTHY, though the node says that ${ill.name} is not: the load balancer sends it clients`,
        remedy: `khw-client status ${name}`,
      };
    case "UNHEALTHY":
      if (drained) return undefined;
      if (said === undefined || ill !== undefined) {
        const why = ill === undefined ? "its agent does not answer, either" : `its ${ill.name} is not healthy`;
        return { severity: "warning", message: `is UNHEALTHY: ${why}`, remedy: `khw-client status ${name}` };
      }
      return {
        severity: "error",
        message: "is UNHEALTHY, though the node says that all is well: the health checks do not reach it",
        remedy:
          "the firewall must let 35.191.0.0/16, 209.85.152.0/22 and 209.85.204.0/22 in to port 80: gcloud compute firewall-rules list; khw-client lb create makes khw's own rule",
      };
  }
}

/** The components that the health check's answer passes through. */
const inTheWay: ReadonlySet<string> = new Set(["nginx", "kube-apiserver"]);
