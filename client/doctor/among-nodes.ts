import { components as kubernetesComponents } from "../../proto/components.ts";
import { type GetStatusResponse, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { versionSkew } from "../cluster/version-skew.ts";
import { clockFindings } from "../cluster/clock-skew.ts";
import { type DoctorCheck, type Finding, findingOf, places } from "./check.ts";
import { answered, type Facts } from "./facts.ts";

const { cluster: where } = places;

interface Named {
  readonly name: string;
  readonly status: GetStatusResponse;
}

/** Checks that compare the nodes. */
export function amongNodesChecks(facts: Facts): DoctorCheck[] {
  const { config, clientVersion } = facts;
  return [
    {
      where,
      title: `the agents have version ${clientVersion}, the same as this client`,
      run: async () => agentVersions(await answered(facts), clientVersion),
    },
    {
      where,
      title: "all nodes run the same Kubernetes release",
      run: async () => componentVersions(await answered(facts)),
    },
    {
      where,
      title: "the nodes' clocks agree",
      run: async () =>
        clockFindings((await answered(facts)).map(({ clock }) => clock)).map((error) => ({
          ...findingOf(error, error.node ?? where),
          subject: "clock",
        })),
    },
    {
      where,
      title: "etcd has a quorum, and an odd number of members",
      run: async () => etcdFindings(await answered(facts), config.cluster.etcdServers?.length ?? config.nodes.length),
    },
  ];
}

export function agentVersions(nodes: readonly Named[], clientVersion: string): Finding[] {
  const versions = groups(nodes.map(({ name, status }) => ({ name, version: status.agentVersion })));
  const found: Finding[] = [];
  if (versions.size > 1) {
    const message = `differ among the nodes: ${told(versions)}`;
    const remedy = "to install the same version on all nodes, run khw-client agent upgrade --deb FILE";
    found.push({ severity: "warning", where, subject: "agents", message, remedy });
  }
  for (const [version, names] of versions) {
    if (version === clientVersion) continue;
    const skew = versionSkew({ client: clientVersion, agent: version });
    const message = `${version} on ${names.join(", ")}, but this client has version ${clientVersion}`;
    const remedy =
      skew?.hint ?? "to install the agent version that matches this client, run khw-client agent upgrade --deb FILE";
    found.push({ severity: skew === undefined ? "warning" : "error", where, subject: "agents", message, remedy });
  }
  return found;
}

export function componentVersions(nodes: readonly Named[]): Finding[] {
  return [...kubernetesComponents, "etcd"].flatMap((component): Finding[] => {
    const versions = groups(
      nodes.flatMap(({ name, status }) => {
        const { version = "" } = status.components.find((one) => one.name === component) ?? {};
        return version === "" ? [] : [{ name, version }];
      }),
    );
    if (versions.size < 2) return [];
    const message = `differs among the nodes: ${told(versions)}`;
    const remedy = component === "etcd" ? "upgrade the members to the same release" : "khw-client bootstrap";
    return [{ severity: "warning", where, subject: component, message, remedy }];
  });
}

/**
 * Counts the etcd members on the controllers. If no controller runs etcd, etcd runs elsewhere and cannot be checked
 * here.
 */
export function etcdFindings(nodes: readonly Named[], members: number): Finding[] {
  const known = nodes.flatMap(({ name, status }) => {
    const etcd = status.components.find((component) => component.name === "etcd");
    return etcd === undefined ? [] : [{ name, healthy: etcd.health === Health.HEALTH_HEALTHY }];
  });
  if (known.length === 0) return [];
  const healthy = known.filter((member) => member.healthy).length;
  const found: Finding[] = [];
  if (healthy <= members / 2) {
    const message = `only ${healthy} of ${members} members are known to be healthy, but the API needs more than half of the members`;
    const remedy =
      "repair the unhealthy members first (khw-client status and khw-client logs etcd --since 1h show why they are unhealthy)";
    found.push({ severity: "error", where, subject: "etcd", message, remedy });
  }
  if (members % 2 === 0) {
    const message = `has ${members} members, which tolerate no more failures than ${members - 1} would`;
    found.push({ severity: "warning", where, subject: "etcd", message, remedy: "add a member, or remove one" });
  }
  return found;
}

function groups(items: readonly { readonly name: string; readonly version: string }[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { name, version } of items) found.set(version, [...(found.get(version) ?? []), name]);
  return found;
}

function told(versions: ReadonlyMap<string, readonly string[]>): string {
  return [...versions].map(([version, names]) => `${version} on ${names.join(", ")}`).join("; ");
}
