/**
 * Tests new controllers. One controller becomes three under load, without a failed request and in the same etcd cluster.
 * After kills of client and agent at random moments, the same command finishes the work.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import t, { type Test } from "tap";

import { memberStatus } from "../fixtures/etcd.ts";
import { failsWith, openScene, scenario, type Scene } from "../fixtures/faults.ts";
import { missingObjects, startLoad, tell } from "../fixtures/serving.ts";
import { issue, subjectAlternativeNames, type TestbedNode } from "../testbed/index.ts";

const [one, all] = [
  ["--nodes", "controller-0"],
  ["--nodes", "controller-0,1,2"],
] as const;
/** The number of new connections per second, which a busy two-processor machine can handle. */
const rate = 5;
const rounds = 6;
/** The longest time that a round waits before it kills the client and an agent. */
const momentMillis = 25_000;

/** Starts machines, and bootstraps the first of them, whose certificate names no other machine. */
async function openAlone(t: Test): Promise<Scene> {
  const scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, node } = scene;
  const names = subjectAlternativeNames({ nodes: [node(0)], publicAddress: testbed.publicAddress });
  await issue(testbed.credentials, "kubernetes", { names });
  const { code, stdout, stderr } = await workstation.khw(["bootstrap", ...one]);
  t.equal(code, 0, stdout + stderr);
  return scene;
}

/** Checks that all machines are voting members of the cluster, and that every API server uses all of them. */
async function isOneCluster(t: Test, { testbed, workstation }: Scene, clusterId: string | undefined): Promise<void> {
  const states = await Promise.all(testbed.nodes.map(memberStatus));
  t.strictSame(new Set(states.map((state) => state?.clusterId)), new Set([clusterId]), "one etcd cluster ID");
  for (const state of states) {
    t.equal(state?.members.length, testbed.nodes.length);
    t.ok(
      state?.members.every((line) => line.endsWith("false")),
      "no member is a learner",
    );
  }
  for (const machine of testbed.nodes) {
    const servers = await etcdServers(machine);
    for (const { address } of testbed.nodes) t.match(servers, `https://${address}:2379`, machine.name);
  }
  for (const command of ["status", "diff", "plan", "verify"]) {
    const { code, stdout, stderr } = await workstation.khw([command, ...all]);
    t.equal(code, 0, `${command}: ${stdout}${stderr}`);
  }
}

async function etcdServers(machine: TestbedNode): Promise<string> {
  return machine.must(["sh", "-c", "tr '\\0' '\\n' </proc/$(pidof kube-apiserver)/cmdline | grep etcd-servers"]);
}

t.test("one controller becomes three under load", async (t) => {
  await using scene = await openAlone(t);
  const { testbed, workstation, node, bootstrap } = scene;
  const before = await memberStatus(node(0));

  await scenario(t, "the plan names the controllers that join, and warns about an even number", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["plan", ...all]);
    t.equal(code, 2, stdout + stderr);
    for (const name of ["controller-1", "controller-2"]) t.match(stdout, `${name} joins the cluster`);
    const even = await workstation.khw(["plan", "--nodes", "controller-0,1"]);
    t.match(even.stdout, /warning: 2 controllers tolerate 0 failures/);
    const renewed = await workstation.khw(["upgrade", "--to", "v1.20.2", ...all]);
    t.not(renewed.code, 0, "an upgrade does not add a controller");
    t.strictSame(await memberStatus(node(0)), before);
  });

  await scenario(t, "no request fails", async (t) => {
    const load = await startLoad(testbed, { rate });
    const { code, stdout, stderr } = await bootstrap();
    const report = await load.stop();
    t.equal(code, 0, stdout + stderr);
    t.comment(stdout);
    t.comment(tell("new connections", report.fresh));
    t.comment(tell("a kept connection", report.kept));
    t.strictSame([report.fresh.failed, report.kept.failed], [[], []]);
    t.strictSame(await missingObjects(workstation, report), []);
    await isOneCluster(t, scene, before?.clusterId);
    const names = await testbed.must([
      "openssl",
      "x509",
      "-noout",
      "-ext",
      "subjectAltName",
      "-in",
      join(testbed.credentials, "kubernetes.pem"),
    ]);
    for (const { address } of testbed.nodes) t.match(names, `IP Address:${address}`);
  });

  await scenario(t, "a shorter list is refused, with the command to use", async (t) => {
    const refused = await workstation.khw(["bootstrap", "--nodes", "controller-0,1"]);
    failsWith(t, refused, "ETCD_CONFLICT", [
      /controller-2 is a controller of this cluster/,
      /khw-client remove controller-2/,
    ]);
    t.match(await memberStatus(node(0)), { members: { length: 3 } });
  });
});

t.test("client and agents killed at random moments while two controllers join", async (t) => {
  await using scene = await openAlone(t);
  const { testbed, node, begin, bootstrap } = scene;
  const before = await memberStatus(node(0));
  for (let round = 1; round <= rounds; round++) {
    const victim = node(round % testbed.nodes.length);
    const millis = Math.round(Math.random() * momentMillis);
    const running = begin();
    await sleep(millis);
    running.kill();
    await victim.must(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "khw-agent.service"]);
    await running.ended;
    await victim.must(["systemctl", "restart", "khw-agent.service"]);
    const members = (await memberStatus(node(0)))?.members.length;
    t.comment(`round ${round}: after ${millis} ms, ${victim.name}; etcd has ${members ?? "no answer for its"} members`);
  }
  const { code, stdout, stderr } = await bootstrap();
  t.equal(code, 0, stdout + stderr);
  await isOneCluster(t, scene, before?.clusterId);
});
