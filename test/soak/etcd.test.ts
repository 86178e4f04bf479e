/**
 * Tests the etcd that khw installs on bare machines. Even if programs are killed, etcd forms a single cluster. A member
 * that has lost its data is restored.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import t, { type Test } from "tap";

import { issue, subjectAlternativeNames, type TestbedNode } from "../testbed/index.ts";
import { etcdctl, etcdPid, memberStatus } from "../fixtures/etcd.ts";
import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

const rounds = 10;
/**
 * The longest time that a round waits before it kills the client and an agent. The etcd cluster is forming during this
 * time.
 */
const momentMillis = 6_000;

t.test("khw installs and maintains etcd on bare machines", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap, begin, node } = scene;
  const all = testbed.nodes;
  const [first, second] = [node(0), node(1)];

  await scenario(
    t,
    "bootstrap forms one etcd cluster even if the client and agents are killed at ten random moments",
    async (t) => {
      for (let round = 1; round <= rounds; round++) {
        const victim = node(round % all.length);
        const millis = Math.round(Math.random() * momentMillis);
        const running = begin();
        await sleep(millis);
        running.kill();
        await victim.must(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "khw-agent.service"]);
        await running.ended;
        // The test uses `restart`, because `start` does nothing if systemd has not noticed yet that the agent has
        // exited.
        await victim.must(["systemctl", "restart", "khw-agent.service"]);
        t.comment(`round ${round}: after ${millis} ms, ${victim.name}`);
      }
      const { code, stdout, stderr } = await bootstrap();
      t.equal(code, 0, stdout + stderr);
      await oneCluster(t, all);
    },
  );

  await scenario(t, "a second bootstrap changes nothing", async (t) => {
    const { stdout } = await bootstrap();
    for (const { name } of all) t.match(stdout, nodeLine(name, "nothing to do"));
  });

  await scenario(t, "etcd serves renewed certificates without a restart", async (t) => {
    const before = await Promise.all(all.map(etcdPid));
    const names = subjectAlternativeNames({ nodes: all, publicAddress: testbed.publicAddress });
    await issue(testbed.credentials, "kubernetes", { names });
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stdout + stderr);
    const wanted = await testbed.must([
      "openssl",
      "x509",
      "-serial",
      "-noout",
      "-in",
      join(testbed.credentials, "kubernetes.pem"),
    ]);
    for (const machine of all) t.equal(await servedSerial(machine), wanted, machine.name);
    t.strictSame(await Promise.all(all.map(etcdPid)), before);
  });

  await scenario(t, "a member whose disk is wiped while its machine is off rejoins without data loss", async (t) => {
    const made = await workstation.kubectl(["create", "configmap", "kept", "--from-literal=a=b"]);
    t.equal(made.code, 0, made.stderr);
    const before = await memberStatus(second);
    await second.powerOff();
    await rm(join(second.root, "var/lib/etcd"), { recursive: true });
    await second.powerOn();
    const after = await given("etcd has three voting members", async () => {
      const status = await memberStatus(second);
      return status?.members.length === 3 && status.members.every((line) => line.endsWith("false"))
        ? status
        : undefined;
    });
    t.equal(after.clusterId, before?.clusterId);
    t.not(after.memberId, before?.memberId, "the machine rejoined as a new member");
    const read = await etcdctl(second, ["get", "/registry/configmaps/default/kept", "--consistency=s", "--keys-only"]);
    t.match(read.stdout, "/registry/configmaps/default/kept");
    await given("status reports a healthy cluster", async () => {
      const { code } = await workstation.khw(["status", "--nodes", nodes]);
      return code === 0 ? code : undefined;
    });
    t.equal(
      (await workstation.khw(["diff", "--nodes", nodes])).code,
      0,
      "diff finds no difference, so etcd is no longer in joining mode",
    );
  });

  await scenario(t, "bootstrap with fewer controllers than before is refused", async (t) => {
    const refused = await workstation.khw(["bootstrap", "--nodes", "controller-0,1"]);
    failsWith(t, refused, "ETCD_CONFLICT", [/controller-2 is a controller of this cluster/]);
    t.match(await memberStatus(first), { members: { length: 3 } });
  });
});

const nodes = "controller-0,1,2";

/**
 * Asserts that every server reports the same cluster and the same three members, and that each server is one of these
 * members.
 */
async function oneCluster(t: Test, all: readonly TestbedNode[]): Promise<void> {
  const states = await Promise.all(all.map(memberStatus));
  t.equal(new Set(states.map((state) => state?.clusterId)).size, 1, "all members report the same cluster ID");
  t.equal(new Set(states.map((state) => state?.memberId)).size, all.length, "each member has its own ID");
  t.equal(
    new Set(states.map((state) => state?.members.toSorted().join("\n"))).size,
    1,
    "all members report the same member list",
  );
  t.equal(states[0]?.members.length, all.length);
}

async function servedSerial(machine: TestbedNode): Promise<string> {
  const keys = ["-cert", "/etc/etcd/kubernetes.pem", "-key", "/etc/etcd/kubernetes-key.pem"].join(" ");
  const connect = `openssl s_client -connect ${machine.address}:2379 ${keys} </dev/null 2>/dev/null`;
  return machine.must(["sh", "-ec", `${connect} | openssl x509 -serial -noout`]);
}
