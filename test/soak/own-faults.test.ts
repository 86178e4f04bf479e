/**
 * Tests faults of the agent itself on a real machine. The agent must not change anything that works, and must resume
 * its work when the fault is over.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import t from "tap";

import { allWell } from "../faults/measure.ts";
import { watchNodes } from "../faults/watch.ts";
import { journal, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { hostPidOf } from "../fixtures/host-pid.ts";
import { must } from "../testbed/command.ts";
import type { TestbedNode } from "../testbed/index.ts";

const deadlineMillis = 240_000;
/** The duration of each fault. It exceeds twice the time after which an agent considers a component dead. */
const faultMillis = 45_000;
const day = 86_400;
const agent = "khw-agent.service";
/**
 * The processes of these components must keep running, unless a component really hangs and the agent can verify the
 * hang.
 */
const spared = ["etcd", "kube-apiserver", "nginx", agent];
const schedulerUnit = "/etc/systemd/system/kube-scheduler.service";
const encryptionConfig = "/var/lib/kubernetes/encryption-config.yaml";

interface OwnFault {
  readonly name: string;
  readonly begin: (node: TestbedNode) => Promise<unknown>;
  readonly end: (node: TestbedNode) => Promise<unknown>;
  /** The component that receives SIGSTOP during the fault. */
  readonly hung: "kube-apiserver" | "kube-scheduler";
  /** The file that is changed by hand during the fault. */
  readonly changed: string;
  /** The agent's actions during the fault. */
  readonly acts: { readonly restartsHung: boolean; readonly startsStopped: boolean; readonly repairs: boolean };
  /** Matches the reason in the agent's journal. */
  readonly says: RegExp;
}

const shell = async (node: TestbedNode, script: string): Promise<string> =>
  (await node.must(["sh", "-ec", script])).trim();

/** Sets the machine's firewall rules from the host. */
const firewall = (node: TestbedNode, rules: string): Promise<string> =>
  must(["nsenter", `--net=/proc/${node.leaderPid}/ns/net`, "nft", rules]);

/**
 * Sets the limit on the agent's open files, by default to the maximum. The host does this, because a testbed machine is
 * not allowed to change a process's limits.
 */
async function limitDescriptors(node: TestbedNode, count?: number): Promise<void> {
  const pid = await hostPidOf(node, agent);
  const [, hard = ""] = /^Max open files +\d+ +(\d+)/m.exec(await readFile(`/proc/${pid}/limits`, "utf8")) ?? [];
  await must(["prlimit", `--pid=${pid}`, `--nofile=${count ?? hard}:${hard}`]);
}

const fullFolders = "/var/lib/kubernetes /var/lib/khw-agent";

const ownFaults: readonly OwnFault[] = [
  {
    name: "a clock that jumps 30 days back",
    begin: (node) => node.skewClock(agent, -30 * day),
    end: (node) => node.skewClock(agent, 0),
    hung: "kube-apiserver",
    changed: schedulerUnit,
    acts: { restartsHung: false, startsStopped: true, repairs: true },
    says: /is valid only from .* clock says .*: refusing callers/,
  },
  {
    name: "a clock that jumps two years ahead",
    begin: (node) => node.skewClock(agent, 730 * day),
    end: (node) => node.skewClock(agent, 0),
    hung: "kube-apiserver",
    changed: schedulerUnit,
    acts: { restartsHung: false, startsStopped: true, repairs: true },
    says: /expired on .* clock says .*: refusing callers/,
  },
  {
    name: "a wrong CA",
    // A mount point cannot be replaced, so the agent cannot repair the file.
    begin: (node) =>
      shell(
        node,
        `cd /root; openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=other -keyout other-key.pem -out other.pem 2>/dev/null
        mount --bind /root/other.pem /var/lib/kubernetes/ca.pem`,
      ),
    end: (node) => shell(node, "umount /var/lib/kubernetes/ca.pem"),
    hung: "kube-apiserver",
    changed: encryptionConfig,
    acts: { restartsHung: false, startsStopped: true, repairs: true },
    says: /credential\/ca\.pem: .*cannot be repaired/,
  },
  {
    name: "a full disk",
    begin: (node) =>
      shell(
        node,
        `for folder in ${fullFolders}; do
          full=/run/full$folder; mkdir -p $full
          mount -t tmpfs -o size=$(( $(du -sk $folder | cut -f1) + 256 ))k tmpfs $full
          cp -a $folder/. $full; chmod --reference=$folder $full; chown --reference=$folder $full
          dd if=/dev/zero of=$full/.filler bs=4k 2>/dev/null || true
          mount --bind $full $folder
        done`,
      ),
    end: (node) =>
      shell(
        node,
        `for folder in ${fullFolders}; do
          rm -f $folder/.filler; umount -l $folder; umount -l /run/full$folder
        done`,
      ),
    hung: "kube-scheduler",
    changed: encryptionConfig,
    acts: { restartsHung: true, startsStopped: true, repairs: false },
    says: /no space left|disk is full/i,
  },
  {
    name: "no file descriptors",
    begin: (node) => limitDescriptors(node, 3),
    end: (node) => limitDescriptors(node),
    hung: "kube-scheduler",
    changed: schedulerUnit,
    acts: { restartsHung: false, startsStopped: true, repairs: false },
    says: /EMFILE|too many open files/i,
  },
  {
    name: "a firewall that drops all traffic on loopback",
    begin: (node) =>
      firewall(
        node,
        "table inet khw { chain input { type filter hook input priority 0; ip daddr 127.0.0.0/8 drop; }; }",
      ),
    end: (node) => firewall(node, "delete table inet khw"),
    hung: "kube-scheduler",
    changed: schedulerUnit,
    acts: { restartsHung: false, startsStopped: true, repairs: false },
    says: /cannot trust its own observations: the agent cannot reach its own listener/,
  },
];

const processesOf = (node: TestbedNode, units: readonly string[]): Promise<string> =>
  node.must(["systemctl", "show", "-p", "Id,MainPID,NRestarts,ExecMainStartTimestampMonotonic", ...units]);
const pidOf = (node: TestbedNode, unit: string): Promise<string> => shell(node, `systemctl show -P MainPID ${unit}`);
const digestOf = (node: TestbedNode, path: string): Promise<string> => shell(node, `sha256sum ${path}`);

t.test("a fault that affects only the agent does not make it restart healthy components", async (t) => {
  await using scene = await openScene(1, "", { withEtcd: false });
  const { testbed, workstation } = scene;
  const node = scene.node(0);
  const bootstrapped = await scene.bootstrap();
  t.equal(bootstrapped.code, 0, bootstrapped.stderr);
  await using watch = watchNodes(testbed, workstation);
  const settled = (): Promise<void> => allWell(testbed.nodes, watch, deadlineMillis);
  // From now on, the clock that the agent sees can be changed while the agent is running.
  await node.skewClock(agent, 1);
  await node.must(["systemctl", "restart", agent]);
  await settled();

  for (const { name, begin, end, hung, changed, acts, says } of ownFaults) {
    await scenario(t, name, async (t) => {
      const before = await processesOf(node, spared);
      const [hungPid, content] = [await pidOf(node, hung), await digestOf(node, changed)];
      const written = (await journal(node)).length;
      const said = async (): Promise<string> => (await journal(node)).slice(written);
      const restarted = async (): Promise<boolean> => (await pidOf(node, hung)) !== hungPid;
      const started = async (): Promise<boolean> =>
        (await node.run(["systemctl", "is-active", "--quiet", "kube-controller-manager"])).code === 0;
      const repaired = async (): Promise<boolean> => (await digestOf(node, changed)) === content;

      await begin(node);
      await shell(node, `kill -STOP ${hungPid}; systemctl stop kube-controller-manager; echo '# by hand' >>${changed}`);
      for (const [expected, label, done] of [
        [acts.restartsHung, "the hung component is restarted", restarted],
        [acts.startsStopped, "the stopped component is started", started],
        [acts.repairs, "the edited file is repaired", repaired],
      ] as const) {
        if (expected)
          await given(`${label} during the fault: ${name}`, async () => ((await done()) ? true : undefined));
      }
      await given(`the agent's journal matches ${says}`, async () => (says.test(await said()) ? true : undefined));
      await delay(faultMillis);
      const acted = { restartsHung: await restarted(), startsStopped: await started(), repairs: await repaired() };
      t.strictSame(acted, acts, "during the fault, the agent takes only safe actions");
      t.equal(await processesOf(node, spared), before, "etcd, the API server, nginx and the agent were not restarted");

      await end(node);
      await settled();
      t.ok(await repaired(), "the edited file is repaired after the fault");
      if (!acts.restartsHung) t.ok(await restarted(), "the hung component is restarted after the fault");
      for (const line of (await said()).split("\n")) t.comment(line.slice(0, 300));
    });
  }

  await scenario(t, "a pause of the agent's own process causes no restart of a component", async (t) => {
    const [before, scheduler] = [await processesOf(node, spared), await pidOf(node, "kube-scheduler")];
    const own = await pidOf(node, agent);
    await shell(node, `kill -STOP ${own} ${scheduler}`);
    await delay(faultMillis);
    // When the agent resumes, its probes seem unanswered for the whole pause, although the scheduler is answering
    // again.
    await shell(node, `kill -CONT ${scheduler}; kill -CONT ${own}`);
    await settled();
    await delay(faultMillis);
    t.equal(await processesOf(node, spared), before);
    t.equal(await pidOf(node, "kube-scheduler"), scheduler, "the agent's own pause caused no restart of the scheduler");
  });
});
