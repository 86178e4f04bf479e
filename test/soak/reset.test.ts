/** Resets machines, and checks that their disks have the same contents as before the bootstrap. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { compareTrees, type Exception, formatDifferences } from "../crash/compare.ts";
import { agentListens } from "../crash/stage.ts";
import { type Digests, readTree, type Tree } from "../crash/tree.ts";
import { failsWith, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import type { TestbedNode } from "../testbed/index.ts";

/** The files that may differ after a reset with --purge, and the reasons. */
const exceptions: readonly Exception[] = [
  { path: /^var\/log(\/.*)?$/, free: "presence", why: "logs of other programs" },
  { path: /^var\/cache(\/.*)?$/, free: "presence", why: "apt's caches" },
  { path: /^var\/lib\/apt\/.+/, free: "presence", why: "apt's lists of packages" },
  {
    path: /^var\/lib\/dpkg\/(status|available|diversions|statoverride|triggers\/.+)(-old)?$/,
    free: "presence",
    why: "dpkg's records",
  },
  { path: /^var\/backups(\/.*)?$/, free: "presence", why: "copies of dpkg's records" },
  { path: /^var\/lib\/systemd\/(random-seed|timers\/.+)$/, free: "presence", why: "systemd's own records" },
  { path: /^var\/tmp\/systemd-private-.*/, free: "presence", why: "folders of units that are running" },
  {
    path: /^var\/lib\/khw-agent\/(audit|audit-refused|history)(\.1)?$/,
    free: "presence",
    why: "records that the agent has written since the reset",
  },
];

const all = ["--nodes", "controller-0,1,2"];
const resetAll = ["reset", "--all", "--yes", "kubernetes", "--purge", ...all];
const digests: Digests = new Map();

t.test("khw-client reset undoes a bootstrap that installed etcd", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap, begin, node, start } = scene;
  const before = await listings(scene);
  const isAsBefore = async (t: Test, nodes: readonly TestbedNode[] = testbed.nodes): Promise<void> => {
    for (const node of nodes) {
      const differences = compareTrees(before.get(node.name) ?? new Map(), await listing(node), exceptions);
      t.equal(formatDifferences(differences), "", node.name);
    }
  };
  const isHealthy = async (t: Test): Promise<void> => {
    const { code, stdout, stderr } = await workstation.khw(["status", ...all]);
    t.equal(code, 0, stdout + stderr);
  };

  await scenario(t, "reset --all restores the machines' disks to their contents before the bootstrap", async (t) => {
    const first = await bootstrap();
    t.equal(first.code, 0, first.stderr);
    failsWith(t, await workstation.khw(["reset", "--all", "--yes", "prod", ...all]), "INVALID_ARGUMENT", [
      /nothing was changed/,
    ]);
    const { code, stdout, stderr } = await workstation.khw(resetAll);
    t.equal(code, 0, stdout + stderr);
    for (const line of stdout.split("\n")) t.comment(line);
    const saved = (await readdir(workstation.folder)).find((name) => name.startsWith("khw-snapshot-")) ?? "";
    const { size, mode } = await stat(join(workstation.folder, saved));
    t.ok(size > 10_000, `the snapshot ${saved} is larger than 10000 bytes: ${size}`);
    t.equal(mode & 0o777, 0o600);
    await isAsBefore(t);
    const { resources } = await testbed.compute.state();
    t.strictSame(
      Object.keys(resources).filter((path) => /targetPools|forwardingRules|httpHealthChecks/.test(path)),
      [],
    );
  });

  await scenario(t, "a second bootstrap on the same machines creates a healthy cluster", async (t) => {
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stdout + stderr);
    await isHealthy(t);
  });

  await scenario(
    t,
    "a node cannot be reset if etcd would lose quorum, and bootstrap adds a reset node to the cluster again",
    async (t) => {
      await node(1).must(["systemctl", "kill", "--signal=STOP", "etcd.service"]);
      failsWith(t, await workstation.khw(["reset", "controller-2", ...all]), "WOULD_INTERRUPT", [/needs 2 of 3/]);
      await node(1).must(["systemctl", "kill", "--signal=CONT", "etcd.service"]);
      await workstation.mustKhw(["bootstrap", ...all]);
      const { code, stdout, stderr } = await workstation.khw(["reset", "controller-2", "--purge", ...all]);
      t.equal(code, 0, stdout + stderr);
      await isAsBefore(t, [node(2)]);
      const again = await bootstrap();
      t.equal(again.code, 0, again.stdout + again.stderr);
      await isHealthy(t);
    },
  );

  await scenario(t, "reset --all leaves nothing behind after an upgrade and a restore", async (t) => {
    await workstation.mustKhw(["upgrade", "--to", "v1.21.0", "--yes", ...all]);
    const restored = await workstation.khw(["etcd", "restore", "latest", "--yes", ...all]);
    t.equal(restored.code, 0, restored.stdout + restored.stderr);
    const aside = await node(0).must(["sh", "-c", "ls -d /var/lib/etcd/before-restore-*"]);
    t.match(aside, /before-restore-/, "the restore kept a copy of the previous data");
    const { code, stdout, stderr } = await workstation.khw(resetAll);
    t.equal(code, 0, stdout + stderr);
    await isAsBefore(t);
  });

  await scenario(t, "reset --all leaves nothing behind after interrupted bootstraps", async (t) => {
    for (const words of [/binary\/kube-scheduler/, /service\/kube-apiserver/]) {
      const running = begin();
      await running.said(words);
      t.ok(running.kill(), `the client was still running after it printed ${words}`);
      const killed = await Promise.all(testbed.nodes.map(killAgent));
      await running.ended;
      for (const [index, node] of testbed.nodes.entries()) await agentListens(node, killed[index]);
      const { code, stdout, stderr } = await workstation.khw([...resetAll, "--without-snapshot"]);
      t.equal(code, 0, stdout + stderr);
      await isAsBefore(t);
    }
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stdout + stderr);
    await isHealthy(t);
  });

  await scenario(
    t,
    "if the client and the agents are killed during a reset, a second run of the same command completes the reset",
    async (t) => {
      for (const delay of [300, 1500, 4000]) {
        const running = start(...resetAll);
        await running.said(/is being reset/);
        await new Promise((resolve) => setTimeout(resolve, delay));
        running.kill();
        const killed = await Promise.all(testbed.nodes.map(killAgent));
        await running.ended;
        // The reset command refuses to run until every agent has started.
        for (const [index, node] of testbed.nodes.entries()) await agentListens(node, killed[index]);
        const { code, stdout, stderr } = await workstation.khw([...resetAll, "--without-snapshot"]);
        t.equal(code, 0, `the reset that was interrupted after ${delay} ms completes: ${stdout}${stderr}`);
        await isAsBefore(t);
        const again = await bootstrap();
        t.equal(again.code, 0, again.stdout + again.stderr);
      }
      await isHealthy(t);
    },
  );

  await scenario(t, "--uninstall removes the agent's package last", async (t) => {
    const { code, stdout, stderr } = await workstation.khw([...resetAll, "--uninstall"]);
    t.equal(code, 0, stdout + stderr);
    for (const node of testbed.nodes) {
      // When khw-client exits, the agent has stopped, but apt is still removing the package.
      await given(`${node.name}'s package is removed`, async () =>
        /no packages found/.test((await node.run(["dpkg-query", "--show", "khw-agent"])).stderr) ? true : undefined,
      );
      const left = await node.run([
        "ls",
        "-d",
        "/etc/khw-agent",
        "/var/lib/khw-agent",
        "/etc/etcd",
        "/var/lib/kubernetes",
      ]);
      t.equal(left.stdout, "");
    }
  });
});

async function listings({ testbed }: Scene): Promise<ReadonlyMap<string, Tree>> {
  const trees = new Map<string, Tree>();
  for (const node of testbed.nodes) trees.set(node.name, await listing(node));
  return trees;
}

/** Kills the agent, and returns the id of its process. */
async function killAgent(node: TestbedNode): Promise<string> {
  const pid = (await node.must(["systemctl", "show", "-P", "MainPID", "khw-agent.service"])).trim();
  await node.run(["systemctl", "kill", "--signal=KILL", "khw-agent.service"]);
  return pid;
}

/** Reads all files on the machine's disk without stopping the agent. */
async function listing({ root }: TestbedNode): Promise<Tree> {
  return readTree(root, digests);
}
