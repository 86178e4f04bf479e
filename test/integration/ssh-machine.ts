import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { cacheFolder } from "../testbed/layout.ts";

const run = promisify(execFile);

/** A Debian of its own with a real sshd on loopback, for which ssh-machine.sh says how it is made. */
export interface SshMachine {
  readonly address: string;
  /** What the test sees of the machine's files. */
  readonly path: (inside: string) => string;
  /** Every call of the stand-in for systemctl, in order. */
  readonly systemctlCalls: () => Promise<string[]>;
  readonly stop: () => Promise<void>;
}

/** What the user of these machines has: a key that they accept, and their host keys. */
export interface SshSetting {
  readonly folder: string;
  readonly port: number;
  readonly identityFile: string;
  readonly knownHosts: string;
}

/** Says how it was called; the service is active unless the machine has the file /etc/khw-agent-breaks. */
const systemctl = `#!/bin/sh
echo "$*" >>/var/log/systemctl
[ ! -e /etc/khw-agent-breaks ] || { echo "Job for khw-agent.service failed." >&2; exit 1; }
`;

export async function prepareSsh(folder: string): Promise<SshSetting> {
  const identityFile = join(folder, "id");
  const hostKey = join(folder, "host");
  for (const file of [identityFile, hostKey]) {
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
  }
  const knownHosts = join(folder, "known_hosts");
  const port = await freePort();
  await writeFile(knownHosts, `[127.0.0.*]:${port} ${await readFile(`${hostKey}.pub`, "utf8")}`);
  return { folder, port, identityFile, knownHosts };
}

/** Starts a machine and waits until its sshd listens. */
export async function startMachine(setting: SshSetting, address: string): Promise<SshMachine> {
  const folder = join(setting.folder, address);
  await mkdir(folder);
  await copyFile(join(setting.folder, "host"), join(folder, "host_key"));
  await copyFile(`${setting.identityFile}.pub`, join(folder, "authorized_keys"));
  await writeFile(join(folder, "systemctl"), systemctl);
  const script = join(import.meta.dirname, "ssh-machine.sh");
  // The kernel ends the machine with this process, however that ends.
  const argv = ["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", script];
  const child = spawn("setpriv", [...argv, await baseRoot(), folder, address, String(setting.port)], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  await listening(child);
  // The overlay is mounted in the machine's own namespace, whose files /proc shows.
  const path = (inside: string): string => join(`/proc/${child.pid}/root`, folder, "root", inside);
  return {
    address,
    path,
    systemctlCalls: async () => (await readFile(path("var/log/systemctl"), "utf8")).trim().split("\n"),
    stop: async () => {
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    },
  };
}

async function baseRoot(): Promise<string> {
  const script = join(import.meta.dirname, "..", "testbed", "base.sh");
  return (await run("bash", [script, cacheFolder()])).stdout.trim();
}

async function listening(child: ChildProcess): Promise<void> {
  if (child.stderr === null) throw new Error("the machine has no standard error");
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    if (line.startsWith("Server listening on ")) {
      child.stderr.resume();
      return;
    }
  }
  throw new Error(`the machine ended: ${said.join("; ")}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}
