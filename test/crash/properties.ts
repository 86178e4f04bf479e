/** Checks the properties of the paths that the comparison ignores. */
import { etcdctl, memberStatus } from "../fixtures/etcd.ts";
import { given } from "../fixtures/given.ts";
import { Maintenance } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { TestbedNode } from "../testbed/index.ts";
import type { Workstation } from "../testbed/workstation.ts";

export interface Checked {
  /** All machines of the cluster. */
  readonly nodes: readonly TestbedNode[];
  readonly workstation: Workstation;
  /** The khw-client arguments for a plan that must report no changes. */
  readonly plan: readonly string[];
}

/**
 * Returns a description of each problem, or an empty list if the machines have no problems. The agents and etcd must be
 * running.
 */
export async function findProblems({ nodes, workstation, plan }: Checked): Promise<string[]> {
  await given("kube-controller-manager has started all of its controllers", async () => {
    const found = await Promise.all(nodes.map((node) => node.run(["test", "-d", pluginFolder])));
    return found.some(({ code }) => code === 0) ? true : undefined;
  });
  const found = await Promise.all(nodes.map((node) => nodeProblems(node, nodes.length)));
  const planned = await planProblem(workstation, plan);
  return [...found.flat(), ...(planned === undefined ? [] : [planned])];
}

async function nodeProblems(node: TestbedNode, members: number): Promise<string[]> {
  const found = await Promise.all([
    etcdProblem(node, members),
    keysProblem(node),
    packagesProblem(node),
    logsProblem(node),
    drainProblem(node),
  ]);
  return found.flatMap((problem) => (problem === undefined ? [] : `${node.name}: ${problem}`));
}

/** kube-controller-manager creates this folder some time after it becomes the leader. */
const pluginFolder = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

type Problem = string | undefined;

async function etcdProblem(node: TestbedNode, expected: number): Promise<Problem> {
  const health = await etcdctl(node, ["endpoint", "health"]);
  if (health.code !== 0) return `etcd is not healthy: ${health.stdout}${health.stderr}`;
  const members = (await memberStatus(node))?.members ?? [];
  return members.length === expected ? undefined : `etcd has ${members.length} members: ${members.join("; ")}`;
}

/** The namespaces and RBAC objects of every bootstrapped cluster. */
const expectedKeys = [
  "/registry/namespaces/default",
  "/registry/namespaces/kube-system",
  "/registry/clusterroles/system:kube-apiserver-to-kubelet",
  "/registry/clusterrolebindings/system:kube-apiserver",
];

async function keysProblem(node: TestbedNode): Promise<Problem> {
  const { stdout } = await etcdctl(node, ["get", "/registry/", "--prefix", "--keys-only"]);
  const keys = new Set(stdout.split("\n"));
  const missing = expectedKeys.filter((key) => !keys.has(key));
  return missing.length === 0 ? undefined : `etcd lacks ${missing.join(", ")}`;
}

async function packagesProblem(node: TestbedNode): Promise<Problem> {
  const audit = await node.run(["dpkg", "--audit"]);
  if (audit.code !== 0 || audit.stdout !== "") return `dpkg --audit: ${audit.stdout}${audit.stderr}`;
  const { stdout } = await node.run(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", "nginx"]);
  if (stdout.trim() !== "ii") return `nginx's package is ${stdout}`;
  const apt = await node.run(["apt-get", "check", "--quiet"]);
  return apt.code === 0 ? undefined : `apt-get check: ${apt.stderr}`;
}

async function logsProblem(node: TestbedNode): Promise<Problem> {
  const { code, stderr } = await node.run(["sh", "-ec", "test -s /var/log/dpkg.log; test -e /var/log/nginx/error.log"]);
  return code === 0 ? undefined : `a log is missing: ${stderr}`;
}

async function planProblem(workstation: Workstation, plan: readonly string[]): Promise<Problem> {
  const { code, stdout, stderr } = await workstation.khw(plan);
  return code === 0 ? undefined : `the plan still contains changes: ${stdout}${stderr}`;
}

async function drainProblem(node: TestbedNode): Promise<Problem> {
  const { code, stdout } = await node.run(["base64", "/var/lib/khw-agent/maintenance"]);
  return code === 0 && Maintenance.decode(Buffer.from(stdout, "base64")).drained ? "it is drained" : undefined;
}
