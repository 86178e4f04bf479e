/**
 * Attacks the agent on a testbed machine while measuring `khw-client status`. Prints the rows for
 * docs/decisions/strangers.md.
 *
 * usage: node test/bench/attack-machine.ts (after npm run build and npm run deb)
 *
 * The unit's MemoryMax has no effect on hosts where the memory controller belongs to cgroup version 1. Therefore the
 * agent's process is also moved into a version 1 group with the same limit.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openScene } from "../fixtures/faults.ts";
import { hostPidOf } from "../fixtures/host-pid.ts";
import { plainEnvironment } from "../testbed/command.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { attacks, type Target } from "./attacks.ts";

const port = 7443;
const unit = "khw-agent.service";
/** The duration of each measurement. There is one measurement per attack, and one without an attack. */
const seconds = 30;

interface Machine {
  /** The attacking machine. Its address differs from the administrator's. */
  readonly attacker: TestbedNode;
  readonly node: { readonly name: string; readonly address: string };
  readonly status: () => Promise<number>;
  /** The agent's process id, as the host sees it. */
  readonly pid: number;
  readonly group: string;
  /** The folder that contains the viewer's certificate and key. */
  readonly pki: string;
}

/** The name of the viewer. */
const viewerName = "attacker";

async function usageOf(pid: number): Promise<{ readonly resident: number; readonly descriptors: number }> {
  const [status, descriptors] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readdir(`/proc/${pid}/fd`),
  ]);
  const kibibytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  return { resident: Math.round((kibibytes * 1024) / 1e6), descriptors: descriptors.length };
}

/** Runs `status` repeatedly until the measurement time is over. */
async function measure(name: string, { pid, group, status }: Machine): Promise<void> {
  const end = performance.now() + seconds * 1000;
  const before = await usageOf(pid);
  let [failed, most] = [0, before];
  const times: number[] = [];
  const over = new AbortController();
  const watching = (async () => {
    while (!over.signal.aborted) {
      const now = await usageOf(pid);
      most = {
        resident: Math.max(most.resident, now.resident),
        descriptors: Math.max(most.descriptors, now.descriptors),
      };
      await delay(100);
    }
  })();
  while (performance.now() < end) {
    const begun = performance.now();
    if ((await status()) !== 0) failed++;
    times.push(performance.now() - begun);
  }
  over.abort();
  await watching;
  const after = await usageOf(pid);
  const sorted = times.toSorted((one, other) => one - other);
  const median = Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0);
  const peak = Math.round(Number(await readFile(join(group, "memory.max_usage_in_bytes"), "utf8")) / 1e6);
  const memory = `${before.resident}, ${most.resident}, ${after.resident}`;
  const descriptors = `${before.descriptors}, ${most.descriptors}, ${after.descriptors}`;
  const latency = `${median}, ${Math.round(sorted.at(-1) ?? 0)}`;
  process.stdout.write(
    `| ${name} | ${memory} | ${peak} | ${descriptors} | ${latency} | ${failed} of ${times.length} |\n`,
  );
}

async function attackOne(name: string, machine: Machine): Promise<void> {
  const { attacker, node, pki } = machine;
  const argv = [`--net=/proc/${attacker.leaderPid}/ns/net`, "--", process.execPath, fileURLToPath(import.meta.url)];
  const child = spawn(
    "nsenter",
    [...argv, "--strike", name, "--host", node.address, "--name", node.name, "--pki", pki],
    {
      env: plainEnvironment,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await once(child.stdout, "data");
  await measure(name, machine);
  child.kill("SIGKILL");
  await once(child, "exit");
}

interface StrikeOptions extends Partial<Pick<Target, "host" | "name">> {
  readonly pki?: string | undefined;
}

/**
 * Runs in a separate process, and attacks the agent until this process is killed. Prints a line when the attack has
 * started.
 */
async function strike(name: string, { host = "", name: node = "", pki = "" }: StrikeOptions): Promise<void> {
  const attack = attacks.find((each) => each.name === name);
  if (attack === undefined) throw new Error(`there is no attack ${name}`);
  const [certificate, key] = await Promise.all([
    readFile(join(pki, `${viewerName}.pem`), "utf8"),
    readFile(join(pki, `${viewerName}-key.pem`), "utf8"),
  ]);
  process.stdout.write("begun\n");
  const held: Socket[] = [];
  // The attack is repeated until the end of the measurement.
  for (;;) {
    await attack.run({ host, name: node, port, viewer: { certificate, key } }, held);
    for (const socket of held.splice(0)) socket.destroy();
  }
}

async function main(): Promise<void> {
  await using scene = await openScene(2, "", { withEtcd: false });
  const [node, attacker] = [scene.node(0), scene.node(1)];
  await scene.workstation.mustKhw(["bootstrap", "--nodes", node.name]);
  await scene.workstation.mustKhw(["pki", "issue", "--role", "viewer", viewerName]);
  const limit = (await node.must(["systemctl", "show", "-P", "MemoryMax", unit])).trim();
  const group = `/sys/fs/cgroup/memory/khw-attack-${scene.testbed.id}`;
  await mkdir(group);
  try {
    const pid = await hostPidOf(node, unit);
    await writeFile(join(group, "memory.limit_in_bytes"), limit);
    await writeFile(join(group, "cgroup.procs"), String(pid));
    const status = async (): Promise<number> => (await scene.workstation.khw(["status", "--nodes", node.name])).code;
    const pki = join(scene.workstation.folder, "khw-pki");
    const machine = { attacker, node, status, pid, group, pki };
    process.stdout.write(`MemoryMax is ${limit}\n`);
    process.stdout.write(
      "| attack | RSS, MB: before, most, after | peak of the group, MB | descriptors | `status`, ms | failed |\n",
    );
    process.stdout.write("|---|---|---|---|---|---|\n");
    await measure("none", machine);
    for (const { name } of attacks) {
      await attackOne(name, machine);
    }
    const restarts = (await node.must(["systemctl", "show", "-P", "NRestarts", unit])).trim();
    process.stdout.write(`the agent was restarted ${restarts} times\n`);
    await node.powerOff();
  } finally {
    await rmdir(group);
  }
}

const { values } = parseArgs({
  options: { strike: { type: "string" }, host: { type: "string" }, name: { type: "string" }, pki: { type: "string" } },
});
if (values.strike === undefined) await main();
else await strike(values.strike, values);
