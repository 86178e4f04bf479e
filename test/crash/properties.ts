/** Checks the properties of the parts of a machine that are not compared. */
import { etcdctl, memberStatus } from "../fixtures/etcd.ts";
import { given } from "../fixtures/given.ts";
import type { TestbedNode } from "../testbed/index.ts";
import type { Stage } from "./stage.ts";

/** Returns a description of each problem; empty for a correct machine. The agent and etcd must be running. */
export async function findProblems({ node, workstation }: Stage): Promise<string[]> {
  await given("kube-controller-manager has started all of its controllers", async () =>
    (await node.run(["test", "-d", pluginFolder])).code === 0 ? true : undefined,
  );
  const found = await Promise.all([
    etcdProblem(node),
    keysProblem(node),
    packagesProblem(node),
    logsProblem(node),
    planProblem(workstation),
  ]);
  return found.filter((problem) => problem !== undefined);
}

/** kube-controller-manager makes this folder some time after it has become the leader. */
const pluginFolder = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

type Problem = string | undefined;

async function etcdProblem(node: TestbedNode): Promise<Problem> {
  const health = await etcdctl(node, ["endpoint", "health"]);
  if (health.code !== 0) return `etcd is not healthy: ${health.stdout}${health.stderr}`;
  const members = (await memberStatus(node))?.members ?? [];
  return members.length === 1 ? undefined : `etcd has ${members.length} members: ${members.join("; ")}`;
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

async function planProblem(workstation: Stage["workstation"]): Promise<Problem> {
  const { code, stdout, stderr } = await workstation.khw(["plan", "--nodes", "controller-0"]);
  return code === 0 ? undefined : `there is still something to do: ${stdout}${stderr}`;
}
