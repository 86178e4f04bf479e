import { toKhwError } from "../../proto/errors.ts";
import { Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { HealthState } from "../gce/health.ts";
import { type DoctorCheck, type Finding, findingOf, places } from "./check.ts";
import { type Facts, type NodeFacts, saidBy } from "./facts.ts";

const { loadBalancer: where } = places;

/**
 * Checks every resource of the load balancer. Compares Google's health report for each node with the node's own report.
 * Returns no checks if khw does not manage a load balancer.
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
    title: `Google's health check agrees with ${name}'s own report`,
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
 * Returns the finding for a node, based on Google's health report and the node's own report. The node's report is
 * undefined if the node does not answer.
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
        message: "Google does not report the node's health yet",
        remedy: "to point a forwarding rule to the pool, run khw-client lb create; after a minute, run doctor again",
      };
    case "HEALTHY":
      if (said === undefined) {
        return {
          severity: "note",
          message: "is HEALTHY and serves traffic, but its agent does not answer",
          remedy: "",
        };
      }
      if (drained) {
        return {
          severity: "warning",
          message: "is drained, but still HEALTHY, so the load balancer still sends clients to the node",
          remedy: `run khw-client drain ${name} again; the command waits for Google's health check. Also check that the health check reaches this node's nginx`,
        };
      }
      if (ill === undefined) return undefined;
      return {
        severity: "warning",
        message: `is HEALTHY, but the node reports that ${ill.name} is not: the load balancer sends clients to it`,
        remedy: `run khw-client status ${name}`,
      };
    case "UNHEALTHY":
      if (drained) return undefined;
      if (said === undefined || ill !== undefined) {
        const why = ill === undefined ? "its agent does not answer, either" : `its ${ill.name} is not healthy`;
        return { severity: "warning", message: `is UNHEALTHY: ${why}`, remedy: `run khw-client status ${name}` };
      }
      return {
        severity: "error",
        message: "is UNHEALTHY, but the node reports no problem: the health checks do not reach it",
        remedy:
          "to add khw's firewall rule, run khw-client lb create. The firewall must let 35.191.0.0/16, 209.85.152.0/22 and 209.85.204.0/22 reach port 80 (gcloud compute firewall-rules list shows the rules)",
      };
  }
}

/** The components on the path of the health check. */
const inTheWay: ReadonlySet<string> = new Set(["nginx", "kube-apiserver"]);
