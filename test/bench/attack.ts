/**
 * Attacks a bundled agent on loopback. Prints a table that shows the cost to the agent and to a legitimate caller. The
 * table is for docs/decisions.
 *
 * usage: node test/bench/attack.ts [FOLDER]     FOLDER: the folder with the agent's main.mjs; default build/agent
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connectNode } from "../../client/cluster/agent-client.ts";
import { createAuthority, type Identity, issue } from "../../client/pki/management/issue.ts";
import { type Attack, attacks } from "./attacks.ts";

const program = resolve(process.argv[2] ?? "build/agent", "main.mjs");

const name = "rack-4";

interface Usage {
  readonly resident: number;
  readonly descriptors: number;
  readonly cpu: number;
}

async function usageOf(pid: number): Promise<Usage> {
  const [status, stat, descriptors] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readFile(`/proc/${pid}/stat`, "utf8"),
    readdir(`/proc/${pid}/fd`),
  ]);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    resident: Math.round((Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024) / 1e6),
    descriptors: descriptors.length,
    cpu: Number(fields[11]) + Number(fields[12]),
  };
}

/** Waits until the agent has processed all received data. */
async function whenIdle(pid: number): Promise<Usage> {
  let before = await usageOf(pid);
  for (let look = 0; look < 60; look++) {
    await delay(2_000);
    const now = await usageOf(pid);
    if (now.cpu - before.cpu < 6) return now;
    before = now;
  }
  return before;
}

async function measure(attack: Attack): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "khw-attack-"));
  const now = new Date();
  const authority = await createAuthority(now);
  const [agent, viewer, admin] = await Promise.all([
    issue(authority, { name, role: "agent", days: 1 }, now),
    issue(authority, { name: "mallory", role: "viewer", days: 1 }, now),
    issue(authority, { name: "alice", role: "admin", days: 1 }, now),
  ]);
  const port = await freePort();
  const child = await startAgent(folder, { authority, agent, port });
  const pid = child.pid ?? 0;
  try {
    const before = await whenIdle(pid);
    const identity = {
      ca: Buffer.from(authority.certificate),
      certificate: Buffer.from(admin.certificate),
      key: Buffer.from(admin.key),
    };
    const times: number[] = [];
    const over = new AbortController();
    let [failed, most] = [0, before];
    const honest = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const node = connectNode({ name, host: "127.0.0.1", port }, identity);
        const began = performance.now();
        await node.info(AbortSignal.timeout(10_000)).catch(() => failed++);
        times.push(performance.now() - began);
        node.close();
        await delay(200);
      }
    };
    const watch = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const { resident, descriptors, cpu } = await usageOf(pid);
        most = {
          resident: Math.max(most.resident, resident),
          descriptors: Math.max(most.descriptors, descriptors),
          cpu,
        };
        await delay(100);
      }
    };
    const beside = Promise.all([honest(), watch()]);
    const held: Socket[] = [];
    const target = { host: "127.0.0.1", name, port, viewer };
    await Promise.race([attack.run(target, held), delay(60_000)]);
    await delay(5_000);
    over.abort();
    await beside;
    for (const socket of held) socket.destroy();
    const after = await whenIdle(pid);
    const sorted = times.toSorted((a, b) => a - b);
    const median = Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0);
    const longest = Math.round(sorted.at(-1) ?? 0);
    const memory = `${before.resident}, ${most.resident}, ${after.resident}`;
    const descriptors = `${before.descriptors}, ${most.descriptors}, ${after.descriptors}`;
    process.stdout.write(
      `| ${attack.name} | ${memory} | ${descriptors} | ${median}, ${longest} | ${failed} of ${times.length} |\n`,
    );
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
    await rm(folder, { recursive: true });
  }
}

async function startAgent(
  folder: string,
  { authority, agent, port }: { readonly authority: Identity; readonly agent: Identity; readonly port: number },
): Promise<ChildProcess> {
  const paths = { ca: join(folder, "ca.pem"), certificate: join(folder, "a.pem"), key: join(folder, "a-key.pem") };
  await writeFile(paths.ca, authority.certificate);
  await writeFile(paths.certificate, agent.certificate);
  await writeFile(paths.key, agent.key, { mode: 0o600 });
  const config = join(folder, "config.yaml");
  const machine = { name, internalIp: "192.0.2.7" };
  const listening = { listen: { host: "127.0.0.1", port }, identity: paths, machine, metricsPort: 0 };
  await writeFile(config, JSON.stringify({ ...listening, stateFolder: join(folder, "state") }));
  // The Node flags that the agent's unit sets.
  const flags = ["--max-semi-space-size=1", "--no-maglev", "--no-opt", "--optimize-for-size"];
  const child = spawn(process.execPath, [...flags, program, "--config", config], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: "131072" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log = `${log}${text}`.slice(-10_000)));
  while (!log.includes("this is")) await once(child.stderr, "data");
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

process.stdout.write(
  "| attack | RSS, MB: before, most, after | descriptors | `GetInfo`, ms: median, longest | failed |\n",
);
process.stdout.write("|---|---|---|---|---|\n");
for (const attack of attacks) await measure(attack);
