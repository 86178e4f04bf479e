import type { Component, GetStatusResponse, Machine } from "../../proto/gen/khw/agent/v1/agent.ts";
import { components as kubernetesComponents } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import { nodeProblems, type Problem } from "../status/problems.ts";
import type { DoctorCheck, Finding } from "./check.ts";
import { type Facts, factsOf, type NodeFacts } from "./facts.ts";

const gibibyte = 1024 ** 3;
const manyRestarts = 5;
const justBooted = 10 * 60;

/** The checks of each node. */
export function nodeChecks(facts: Facts): DoctorCheck[] {
  return facts.config.nodes.flatMap(({ name }) => checksOf(name, facts));
}

function checksOf(name: string, facts: Facts): DoctorCheck[] {
  const check = (title: string, look: (found: NodeFacts) => readonly Omit<Finding, "where">[]): DoctorCheck => ({
    where: name,
    title,
    run: async () => look(await known(facts, name)).map((finding) => ({ where: name, ...finding })),
  });
  const problems = (title: string, about: (problem: Problem, status: GetStatusResponse) => boolean): DoctorCheck =>
    check(title, ({ status }) =>
      nodeProblems({ node: name, status })
        .filter((problem) => about(problem, status))
        .map(toFinding),
    );
  const release = facts.config.kubernetes.version;
  return [
    reachable(name, facts),
    problems("its components are healthy and enabled", ({ subject }, { components }) =>
      [...components.map((component) => component.name), "khw-agent"].includes(subject),
    ),
    check("its components do not crash", ({ status }) => status.components.flatMap((one) => restarts(name, one))),
    check(`its components run ${release ?? "the same release"}`, ({ status: { components } }) =>
      components.flatMap((one) => version(one, release ?? runningRelease(components))),
    ),
    problems("its certificates are valid for at least 30 more days", ({ subject }, { certificates }) =>
      certificates.some(({ path }) => path === subject),
    ),
    problems(
      "nothing differs from its agent's desired state",
      ({ subject }, { drift }) => subject === "drift" || drift?.steps.some(({ id }) => id === subject) === true,
    ),
    problems("it is not drained", ({ subject }) => subject === "maintenance"),
    problems("its last operation succeeded", ({ subject }) => subject === "operation"),
    check("its machine has free disk space, memory and CPU time", ({ status }) => machineFindings(status.machine)),
    check("its machine has not booted recently", ({ status: { machine } }) => uptime(machine)),
  ];
}

/**
 * @throws KhwError if the node does not answer. The error omits the reason, because another check reports it
 */
async function known(facts: Facts, name: string): Promise<NodeFacts> {
  return factsOf(facts, name).catch((cause: unknown) => {
    throw new KhwError("UNREACHABLE", "its agent does not answer", { node: name, cause });
  });
}

function reachable(name: string, { nodes }: Facts): DoctorCheck {
  return {
    where: name,
    title: "its agent answers",
    run: async () => {
      const error = (await nodes()).find((answer) => answer.name === name)?.error;
      if (error === undefined) return [];
      const remedy = error.hint ?? "";
      return [{ severity: "error", where: name, subject: "khw-agent", message: error.message, remedy }];
    },
  };
}

/**
 * Draining a node is intentional, so a drained node is not an error. The node is still reported, so that nobody forgets
 * to undrain it.
 */
function toFinding({ subject, severity, message, hint }: Problem): Omit<Finding, "where"> {
  return { severity: subject === "maintenance" ? "warning" : severity, subject, message, remedy: hint };
}

function restarts(node: string, component: Component): Omit<Finding, "where">[] {
  const { name: subject, restarts: bySystemd, supervisedRestarts } = component;
  const total = bySystemd + supervisedRestarts;
  if (total < manyRestarts) return [];
  const message = `was restarted ${total} times (${bySystemd} by systemd, ${supervisedRestarts} by the agent)`;
  return [{ severity: "warning", subject, message, remedy: `run khw-client logs ${node} ${subject} --since 1h` }];
}

/** Returns the API server's release. The other components must have the same release. */
function runningRelease(components: readonly Component[]): string {
  return components.find(({ name }) => name === "kube-apiserver")?.version ?? "";
}

function version({ name: subject, version: found }: Component, wanted: string): Omit<Finding, "where">[] {
  const known: readonly string[] = kubernetesComponents;
  if (!known.includes(subject) || found === "" || wanted === "" || found === wanted) return [];
  const message = `is ${found}, but must be ${wanted}`;
  return [{ severity: "warning", subject, message, remedy: "run khw-client plan, then khw-client bootstrap" }];
}

function machineFindings(machine: Machine | undefined): Omit<Finding, "where">[] {
  const { cpus, load, memoryTotal, memoryAvailable, diskTotal, diskAvailable } = said(machine);
  const found: Omit<Finding, "where">[] = [];
  if (diskAvailable < gibibyte || diskAvailable < diskTotal / 10) {
    const message = `${gigabytes(diskAvailable)} of ${gigabytes(diskTotal)} left on the disk that holds /var/lib`;
    const remedy = "run on the node: journalctl --vacuum-size=500M; du -xh -d 3 / | sort -h | tail";
    found.push({ severity: diskAvailable < gibibyte ? "error" : "warning", subject: "disk", message, remedy });
  }
  if (memoryAvailable < memoryTotal / 10) {
    const message = `${gigabytes(memoryAvailable)} of ${gigabytes(memoryTotal)} available`;
    const remedy =
      "run on the node: ps -e -o rss,args --sort -rss | head; then stop programs, or use a larger machine type";
    found.push({ severity: "warning", subject: "memory", message, remedy });
  }
  const [, middle = 0] = load;
  if (middle > 4 * cpus) {
    const message = `${middle.toFixed(1)} over 5 minutes, with ${cpus} ${cpus === 1 ? "processor" : "processors"}`;
    found.push({ severity: "warning", subject: "load", message, remedy: "run on the node: top" });
  }
  return found;
}

function uptime(machine: Machine | undefined): Omit<Finding, "where">[] {
  const { uptimeSeconds } = said(machine);
  if (uptimeSeconds >= justBooted) return [];
  const message = `booted ${Math.round(uptimeSeconds / 60)} minutes ago`;
  return [{ severity: "note", subject: "machine", message, remedy: "" }];
}

function said(machine: Machine | undefined): Machine {
  if (machine !== undefined && machine.memoryTotal > 0) return machine;
  throw new KhwError("INTERNAL", "the agent reports nothing about its machine");
}

function gigabytes(bytes: number): string {
  return `${(bytes / gibibyte).toFixed(1)} GiB`;
}
