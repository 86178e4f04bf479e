/** Tests snapshots of a managed etcd. One command restores a cluster that has lost the majority of its members. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { journal, scenario } from "../fixtures/faults.ts";
import { plainEnvironment } from "../testbed/command.ts";
import type { RunResult } from "../testbed/command.ts";
import { startTestbed } from "../testbed/index.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { namespaceOf, namespacePath } from "../testbed/layout.ts";
import { agentPackage, clientProgram, installAgents, makeWorkstation } from "../testbed/workstation.ts";

const testbed = await startTestbed({ nodes: 3, withEtcd: false });
t.teardown(() => testbed.stop());
const workstation = await makeWorkstation(testbed, "nodes: controller-0,1,2\n");
const { nodes } = testbed;
const [first, second, third] = nodes;
if (first === undefined || second === undefined || third === undefined) throw new TypeError("expected three machines");

/** Runs the client and copies its output to the test's output. */
async function khw(t: Test, ...args: readonly string[]): Promise<RunResult> {
  const result = await workstation.khw(args);
  t.comment(`khw-client ${args.join(" ")}: ${result.code}\n${result.stdout}${result.stderr}`);
  return result;
}

async function write(name: string): Promise<void> {
  const { code, stderr } = await workstation.kubectl(["create", "configmap", name, "--from-literal=a=b"]);
  if (code !== 0) throw new Error(stderr);
}

async function stored(): Promise<string> {
  return (await workstation.kubectl(["get", "configmaps", "--output=name"])).stdout;
}

interface Status {
  readonly healthy: boolean;
  readonly nodes: readonly { readonly member: { readonly clusterId: string; readonly revision: number } | null }[];
}

async function status(): Promise<Status> {
  return JSON.parse((await workstation.khw(["etcd", "status", "--output=json"])).stdout);
}

async function clusterIds(): Promise<Set<string>> {
  return new Set((await status()).nodes.map(({ member }) => member?.clusterId ?? "none"));
}

async function until(what: string, holds: () => Promise<boolean>, seconds: number): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`timed out after ${seconds} s waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function agentsAnswer(): Promise<boolean> {
  return !(await workstation.khw(["etcd", "status"])).stdout.includes("its agent does not answer");
}

/** Starts a restore and kills the client as soon as the client has printed this text. */
async function killedWhen(said: string, snapshot: string): Promise<void> {
  const argv = [`--net=${namespacePath(namespaceOf(testbed.id))}`, "--", clientProgram];
  const child = spawn("nsenter", [...argv, "etcd", "restore", snapshot, "--yes"], {
    cwd: workstation.folder,
    env: plainEnvironment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  let told = "";
  for await (const chunk of child.stdout) {
    told += String(chunk);
    if (told.includes(said)) child.kill("SIGKILL");
  }
  await ended;
  if (!told.includes(said)) throw new Error(`the client never printed "${said}", but: ${told}`);
}

/** Deletes etcd's data while the machines are off, as if their disks were lost. */
async function wipe(machines: readonly TestbedNode[]): Promise<void> {
  await Promise.all(
    machines.map(async (machine) => {
      await machine.powerOff();
      await rm(join(machine.root, "var/lib/etcd"), { recursive: true });
      await machine.powerOn();
    }),
  );
}

await installAgents(workstation, nodes, agentPackage);
const bootstrapped = await workstation.khw(["bootstrap"]);
t.equal(bootstrapped.code, 0, `${bootstrapped.stdout}${bootstrapped.stderr}`);

await scenario(
  t,
  "etcd status reports every member, and each controller takes its first snapshot automatically",
  async (t) => {
    const { code, stdout } = await khw(t, "etcd", "status");
    t.equal(code, 0);
    t.match(stdout, /leader/);
    t.equal((await clusterIds()).size, 1);
    const all = async (): Promise<boolean> => {
      const { stdout } = await workstation.khw(["etcd", "snapshot", "list"]);
      return nodes.every(({ name }) => stdout.includes(`-${name} `));
    };
    await until("each controller has a snapshot", all, 90);
    await khw(t, "etcd", "snapshot", "list");
    const files = await first.must(["sh", "-c", "find /var/lib/khw-agent/snapshots -printf '%M %f\\n'"]);
    t.match(files, /^drwx------ snapshots$/m);
    t.notMatch(files, /^-(?!rw-------)/m, "only root can read the snapshots");
    t.notMatch(files, /scratch|draft/, "the verification leaves no file behind");
  },
);

await scenario(t, "etcd defrag defragments the members one after the other, with the leader last", async (t) => {
  const { code, stdout } = await khw(t, "etcd", "defrag", "--threshold", "0");
  t.equal(code, 0);
  for (const { name } of nodes) t.match(stdout, name);
  t.equal((await status()).healthy, true);
});

await scenario(
  t,
  "snapshot verify reports a snapshot that was changed on disk, and snapshot list then omits it",
  async (t) => {
    const saved = await khw(t, "etcd", "snapshot", "save", third.name);
    t.equal(saved.code, 0);
    const [id = ""] = saved.stdout.split(":");
    t.equal((await khw(t, "etcd", "snapshot", "verify", id)).code, 0);
    const spoil = `printf X | dd of=/var/lib/khw-agent/snapshots/${id}.db bs=1 seek=9000 conv=notrunc`;
    await third.must(["sh", "-c", spoil]);
    const verified = await khw(t, "etcd", "snapshot", "verify", id);
    t.equal(verified.code, 65);
    t.match(verified.stderr, /SHA-256/);
    t.notMatch((await khw(t, "etcd", "snapshot", "list")).stdout, id);
  },
);

await scenario(
  t,
  "after two of three disks are lost, one command restores the data from the last snapshot",
  async (t) => {
    await write("before");
    t.equal((await khw(t, "etcd", "snapshot", "save", first.name)).code, 0);
    const old = await clusterIds();
    await wipe([second, third]);
    await until("the agents answer again", agentsAnswer, 60);
    t.equal((await khw(t, "etcd", "status")).code, 1);
    const asked = await khw(t, "etcd", "restore");
    t.equal(asked.code, 64, "a restore without --yes is refused");
    t.match(asked.stderr, /--yes/);

    const restored = await khw(t, "etcd", "restore", "latest", "--yes");
    t.equal(restored.code, 0);
    t.match(await stored(), /configmap\/before$/m, "the data from before the snapshot exists");
    t.equal((await khw(t, "etcd", "status")).code, 0);
    const now = await clusterIds();
    t.equal(now.size, 1);
    t.notOk(
      [...now].some((id) => old.has(id)),
      "the restored etcd cluster has a new ID",
    );
    const kept = await first.must(["sh", "-c", "ls -d /var/lib/etcd/before-restore-*/wal"]);
    t.match(kept, /before-restore-\d{8}T\d{6}Z/, "the surviving member's old data is kept in a separate folder");
    await write("since");
    await until("everything is healthy", async () => (await workstation.khw(["status"])).code === 0, 120);
  },
);

await scenario(
  t,
  "a restore that is interrupted by killed clients, a killed agent and a power loss completes when it is rerun",
  async (t) => {
    await write("kept");
    const saved = await khw(t, "etcd", "snapshot", "save", second.name);
    const [id = ""] = saved.stdout.split(":");
    await write("after-the-snapshot");
    for (const said of [
      "restore/hold: done",
      "restore/kubernetes: done",
      "restore/data: etcd",
      "restore/start: etcd",
    ]) {
      await killedWhen(said, id);
      await second.run(["systemctl", "kill", "--signal=KILL", "khw-agent.service"]);
      await until("the agents answer again", agentsAnswer, 60);
    }
    t.equal((await khw(t, "etcd", "status")).code, 1, "the unfinished restore is reported");
    const busy = await khw(t, "bootstrap");
    t.not(busy.code, 0);
    t.match(`${busy.stdout}${busy.stderr}`, /a restore of etcd that .* began has held the machine lock since/);
    await third.powerOff();
    const without = await khw(t, "etcd", "restore", id, "--yes");
    t.not(without.code, 0, "a restore is refused unless all machines answer");
    await third.powerOn();
    await until("the agents answer again", agentsAnswer, 60);
    await until("etcd is restored", async () => (await khw(t, "etcd", "restore", id, "--yes")).code === 0, 300);
    t.equal((await clusterIds()).size, 1);
    const aside = await first.must(["sh", "-c", "ls -d /var/lib/etcd/before-restore-* | wc -l"]);
    t.equal(aside.trim(), "2", "the continued restore moved the data aside only once");
    const names = await stored();
    for (const name of ["before", "since", "kept"]) t.match(names, new RegExp(`configmap/${name}$`, "m"));
    t.notMatch(names, /after-the-snapshot/);
    await until("everything is healthy", async () => (await workstation.khw(["status"])).code === 0, 120);
    const left = await first.must(["sh", "-c", "find /etc/systemd/system /var/lib/etcd -name '*khw-resto*'"]);
    t.equal(left, "", "the restore leaves no temporary file behind");
  },
);

t.teardown(async () => {
  if (t.passing()) return;
  const { stdout } = await workstation.khw(["events"]);
  process.stderr.write(stdout);
  for (const machine of nodes) process.stderr.write(`${machine.name}:\n${await journal(machine).catch(String)}`);
});
