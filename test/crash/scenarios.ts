/** The commands that the crash suite interrupts while they change a running cluster. */
import { join } from "node:path";

import { etcdctl } from "../fixtures/etcd.ts";
import { given } from "../fixtures/given.ts";
import type { TestbedNode } from "../testbed/index.ts";
import type { Workstation } from "../testbed/workstation.ts";
import type { Exception } from "./compare.ts";
import { newDrain, newKeys, newManagementKeys, newMember, resetExceptions, upgradeExceptions } from "./exceptions.ts";
import { findProblems } from "./properties.ts";

/** The machines and the workstation of a scenario. */
export interface Prepared {
  readonly nodes: readonly TestbedNode[];
  readonly workstation: Workstation;
}

/** A list of commands, their starting cluster, and the rules for comparing their results. */
export interface Scenario {
  /** The number of machines. Each machine runs an agent with an identity. */
  readonly machines: number;
  /** The controllers that are bootstrapped before the commands run. */
  readonly before: readonly number[];
  /** The khw-client arguments of each command. A point interrupts one of the commands. */
  readonly commands: readonly (readonly string[])[];
  /** The controllers that are part of the cluster after the commands have run. */
  readonly after: readonly number[];
  /** Whether the commands must restore the machines to the state that they had before the bootstrap. */
  readonly undoes?: boolean;
  /** The paths on the machines and on the workstation that the comparison ignores. */
  readonly exceptions: readonly Exception[];
  readonly workstationExceptions: readonly Exception[];
}

const today = (): string => new Date().toISOString().slice(0, 10);

export const scenarios = {
  add: {
    machines: 2,
    before: [0],
    commands: [["bootstrap", ...listOf([0, 1])]],
    after: [0, 1],
    exceptions: [...upgradeExceptions, ...newKeys, ...newDrain, ...newMember],
    workstationExceptions: newKeys,
  },
  remove: {
    machines: 2,
    before: [0, 1],
    commands: [["remove", "controller-1", "--purge", ...listOf([0, 1])]],
    after: [0],
    exceptions: [...upgradeExceptions, ...resetExceptions],
    workstationExceptions: [],
  },
  replace: {
    machines: 3,
    before: [0, 1],
    commands: [["replace", "controller-1", "--with", "controller-2", "--purge", ...listOf([0, 1])]],
    after: [0, 2],
    exceptions: [...upgradeExceptions, ...newKeys, ...newDrain, ...newMember, ...resetExceptions],
    workstationExceptions: newKeys,
  },
  reset: {
    machines: 1,
    before: [0],
    commands: [["reset", "--all", "--yes", "kubernetes", "--purge", "--without-snapshot", ...listOf([0])]],
    after: [],
    undoes: true,
    exceptions: resetExceptions,
    workstationExceptions: [],
  },
  "encryption-key": {
    machines: 1,
    before: [0],
    commands: [["encryption", "rotate", ...listOf([0])]],
    after: [0],
    exceptions: [...upgradeExceptions, ...newKeys],
    workstationExceptions: newKeys,
  },
  "service-account-key": {
    machines: 1,
    before: [0],
    commands: [[], ["--drop-on", today()]].map((stage) => [
      "pki",
      "rotate-service-account-key",
      ...stage,
      ...listOf([0]),
    ]),
    after: [0],
    exceptions: [...upgradeExceptions, ...newKeys],
    workstationExceptions: newKeys,
  },
  "cluster-ca": rotationOfCa("rotate-ca"),
  "etcd-ca": rotationOfCa("rotate-etcd-ca"),
  management: {
    machines: 1,
    before: [0],
    commands: [[], ["--drop-old"]].map((stage) => ["pki", "rotate-management", ...stage, ...listOf([0])]),
    after: [0],
    exceptions: [...upgradeExceptions, ...newManagementKeys],
    workstationExceptions: newManagementKeys,
  },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof scenarios;

/** Replaces a CA with the three runs of a command. */
function rotationOfCa(name: string): Scenario {
  return {
    machines: 1,
    before: [0],
    commands: [[], ["--reissue"], ["--drop-old"]].map((stage) => ["pki", name, ...stage, ...listOf([0])]),
    after: [0],
    exceptions: [...upgradeExceptions, ...newKeys],
    workstationExceptions: newKeys,
  };
}

/** Returns the flags that name these controllers. */
export function listOf(controllers: readonly number[]): readonly string[] {
  return ["--nodes", controllers.map((index) => `controller-${index}`).join(",")];
}

/** Resolves when etcd is healthy on all of these controllers. */
export async function etcdIsHealthy(nodes: readonly TestbedNode[]): Promise<void> {
  for (const node of nodes) {
    await given(`${node.name}'s etcd is healthy`, async () =>
      (await etcdctl(node, ["endpoint", "health"])).code === 0 ? true : undefined,
    );
  }
}

/** The time within which a cluster becomes healthy after a boot, even on a very busy host. */
const healthyMillis = 600_000;

/** Resolves when the cluster that consists of these controllers is healthy. */
export async function clusterIsHealthy({ workstation }: Prepared, controllers: readonly number[]): Promise<void> {
  const ask = async () => ((await workstation.khw(["status", ...listOf(controllers)])).code === 0 ? true : undefined);
  await given("the cluster is healthy", ask, healthyMillis);
}

/** Returns a description of each property that is violated after the commands. */
export async function problemsAfter({ nodes, workstation }: Prepared, { after }: Scenario): Promise<string[]> {
  const members = after.flatMap((index) => nodes[index] ?? []);
  const rest = nodes.filter((node) => !members.includes(node));
  const left = await Promise.all(rest.map(resetProblems));
  if (members.length === 0) return left.flat();
  // A machine that lost its power may still be starting, because not every command waits for the API servers.
  await clusterIsHealthy({ nodes, workstation }, after);
  const plan = ["plan", ...listOf(after)];
  return [...left.flat(), ...(await findProblems({ nodes: members, workstation, plan }))];
}

/** Returns the problems of a machine that is no longer a controller. */
async function resetProblems(node: TestbedNode): Promise<string[]> {
  const audit = await node.run(["dpkg", "--audit"]);
  const units = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"];
  const active = await node.run(["systemctl", "is-active", ...units]);
  const data = await node.run(["ls", join("/", "var/lib/etcd")]);
  return [
    ...(audit.stdout === "" ? [] : [`${node.name}: dpkg --audit: ${audit.stdout}`]),
    ...(active.stdout.includes("\nactive") || active.stdout.startsWith("active")
      ? [`${node.name}: a service runs`]
      : []),
    ...(data.code === 0 ? [`${node.name}: etcd's data is still there`] : []),
  ];
}
