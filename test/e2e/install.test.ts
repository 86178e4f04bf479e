import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { must } from "../testbed/command.ts";
import type { RunResult } from "../testbed/command.ts";
import { startTestbed } from "../testbed/index.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";

const top = join(import.meta.dirname, "..", "..");

/** Returns the path of the agent's .deb for this machine, as built by `npm run deb`. */
async function findAgentDeb(): Promise<string> {
  const architecture = (await must(["dpkg", "--print-architecture"])).trim();
  const folder = join(top, "build", "deb");
  const name = (await readdir(folder)).find((file) => new RegExp(`^khw-agent_.*_${architecture}\\.deb$`).test(file));
  if (name === undefined) throw new Error("the agent's .deb does not exist: run npm run deb");
  return join(folder, name);
}

/** Authorizes the workstation's key on the node. Returns the node's line for known_hosts. */
async function openSsh(node: TestbedNode, publicKey: string): Promise<string> {
  await node.must(["mkdir", "-p", "-m", "0700", "/root/.ssh"]);
  await node.must(["tee", "/root/.ssh/authorized_keys"], { input: publicKey });
  await node.must(["ssh-keygen", "-A"]);
  await node.must(["systemctl", "start", "ssh.service"]);
  return `${node.address} ${await node.must(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])}`;
}

/** Returns the process id of the agent on the node. */
async function agentPid(node: TestbedNode): Promise<string> {
  return node.must(["systemctl", "show", "--property=MainPID", "--value", "khw-agent.service"]);
}

/** Connects to the agent's port with the administrator's identity. Returns what openssl prints about the server. */
async function whoAnswers(testbed: Testbed, node: TestbedNode, pki: string): Promise<string> {
  const identity = ["-CAfile", `${pki}/ca.pem`, "-cert", `${pki}/admin.pem`, "-key", `${pki}/admin-key.pem`];
  const verify = ["-verify_return_error", "-verify_hostname", node.name];
  const argv = ["openssl", "s_client", "-connect", `${node.address}:7443`, "-brief", ...verify, ...identity];
  const { stdout, stderr } = await testbed.run(argv, { input: "" });
  return stdout + stderr;
}

t.test("install sets up the agent on machines without any khw software", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "khw-install-e2e-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const [testbed, deb] = await Promise.all([startTestbed({ withEtcd: false }), findAgentDeb()]);
  t.teardown(() => testbed.stop());
  const [first, middle, last] = testbed.nodes;
  if (first === undefined || middle === undefined || last === undefined) throw new Error("expected three nodes");

  await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(folder, "id")]);
  const publicKey = await readFile(join(folder, "id.pub"), "utf8");
  const hosts = await Promise.all(testbed.nodes.map((node) => openSsh(node, publicKey)));
  await writeFile(join(folder, "known_hosts"), hosts.join(""));

  const pki = join(folder, "khw-pki");
  const client = async (...argv: readonly string[]): Promise<RunResult> =>
    testbed.run([process.execPath, join(top, "client", "main.ts"), ...argv], { cwd: folder, env: { HOME: folder } });
  const nodes = testbed.nodes.map(({ name, address }) => `${name}=${address}`).join(",");
  const options = [`IdentityFile=${join(folder, "id")}`, `UserKnownHostsFile=${join(folder, "known_hosts")}`];
  const sshOptions = options.flatMap((option) => ["--ssh-option", option]);
  const install = async (): Promise<RunResult> =>
    client("install", "--nodes", nodes, "--deb", deb, "--ssh-user", "root", ...sshOptions);
  t.equal((await client("pki", "init")).code, 0);

  await t.test("if one machine is unreachable, install sets up the agent on the other machines", async (t) => {
    await middle.disconnect();
    const result = await install();
    t.equal(result.code, 3, result.stdout + result.stderr);
    t.match(result.stderr, /^controller-1: ssh: .*10\.240\.0\.11/m);
    t.match(result.stderr, /1 of 3 nodes failed: controller-1\nhint: /);
    for (const node of [first, last]) {
      t.match(result.stdout, new RegExp(`^${node.name}: khw-agent .* is running$`, "m"));
      t.match(await whoAnswers(testbed, node, pki), /TLSv1\.3[^]*Verification: OK/);
    }
    const made = ["admin-key.pem", "admin.pem", "agents.jsonl", "ca-key.pem", "ca.pem"];
    t.same((await readdir(pki)).sort(), made, "the nodes' keys exist only on the nodes");
    for (const node of [first, last]) {
      const files = (await node.must(["ls", "-A", "/etc/khw-agent/pki"])).trim().split("\n");
      t.same(files, ["agent-key.pem", "agent.pem", "ca.pem"]);
    }
    await middle.connect();
  });

  await t.test("a second run sets up the remaining node and leaves the other nodes unchanged", async (t) => {
    const pid = await agentPid(first);
    const result = await install();
    t.equal(result.code, 0, result.stdout + result.stderr);
    t.match(result.stdout, /^controller-0: khw-agent .* is running, unchanged$/m);
    t.match(result.stdout, /^controller-1: khw-agent .* is running$/m);
    t.equal(await agentPid(first), pid, "the agent was not restarted");
    t.match(await whoAnswers(testbed, middle, pki), /Verification: OK/);
    for (const node of testbed.nodes) {
      t.equal(await node.must(["find", "/tmp", "-name", "khw-agent.*"]), "", "nothing is left in /tmp");
      t.equal(await node.must(["systemctl", "is-enabled", "khw-agent.service"]), "enabled\n");
    }
  });

  await t.test("the agent starts again when the machine reboots", async (t) => {
    await last.powerOff();
    await last.powerOn();
    await last.run(["systemctl", "is-system-running", "--wait"]);
    t.equal(await last.must(["systemctl", "is-active", "khw-agent.service"]), "active\n");
    t.match(await whoAnswers(testbed, last, pki), /Verification: OK/);
  });
});
