import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { enrol } from "../../client/commands/enrol.ts";
import { pkiInit } from "../../client/commands/pki.ts";
import { loadConfig } from "../../client/config/load.ts";
import type { Context } from "../../client/terminal/context.ts";
import { readManagementIdentity } from "../../client/cluster/channel.ts";
import { connectNode } from "../../client/cluster/agent-client.ts";
import { readAuthority } from "../../client/pki/folder.ts";
import { issue } from "../../client/pki/management/issue.ts";
import { never } from "../fixtures/machine.ts";
import { startCompute } from "../testbed/compute/start.ts";

// Runs the real agent program, an emulated metadata server and an emulated Compute Engine API, all on loopback.

// On a busy machine, it takes minutes to start the agent several times.
t.setTimeout(600_000);

const folder = await mkdtemp(join(tmpdir(), "khw-enrol-main-"));
t.teardown(() => rm(folder, { recursive: true }));
const pki = join(folder, "khw-pki");
const own = join(folder, "agent-pki");
await mkdir(own, { mode: 0o700 });
const files = { ca: join(own, "ca.pem"), certificate: join(own, "agent.pem"), key: join(own, "agent-key.pem") };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Starts one of khw's programs. If this process is killed, the program ends as well. */
function start(...argv: readonly string[]): ChildProcess {
  const command = ["--pdeathsig", "KILL", "--", process.execPath, ...argv];
  const child = spawn("setpriv", command, { env: { PATH: "/usr/bin:/bin" }, stdio: ["ignore", "pipe", "pipe"] });
  t.teardown(() => child.kill("SIGKILL"));
  return child;
}

const [computePort, metadataPort, agentPort] = [await freePort(), await freePort(), await freePort()];
const compute = await startCompute({
  listen: `127.0.0.1:${computePort}`,
  socket: join(folder, "compute.sock"),
  address: "203.0.113.10",
  instances: ["controller-0=127.0.0.1"],
});
t.teardown(() => compute[Symbol.asyncDispose]());
const metadataUrl = `http://127.0.0.1:${metadataPort}`;
const metadata = start(
  new URL("../testbed/servers/metadata.ts", import.meta.url).pathname,
  `--listen=127.0.0.1:${metadataPort}`,
  `--control=${join(folder, "metadata.sock")}`,
  `--compute=${join(folder, "compute.sock")}`,
  "--project=khw-testbed/1234",
  "--zone=us-west1/us-west1-c",
  "--instances=controller-0=127.0.0.1/127.0.0.1",
);
await once(metadata.stdout ?? metadata, "data");

await writeFile(
  join(folder, "config.yaml"),
  JSON.stringify({
    listen: { host: "127.0.0.1", port: agentPort },
    identity: files,
    metadataUrl,
    stateFolder: join(folder, "state"),
    metricsPort: 0,
  }),
);
// The version is set in the same way as in the build.
const main = new URL("../../agent/main.ts", import.meta.url).href;
await writeFile(
  join(folder, "agent.mjs"),
  `globalThis.KHW_VERSION = "1.2.3"; await import(${JSON.stringify(main)});\n`,
);

interface Agent {
  readonly child: ChildProcess;
  readonly log: () => string;
  /** Resolves when the agent has logged matching text. */
  readonly says: (words: RegExp) => Promise<unknown>;
}

function startAgent(): Agent {
  const child = start(join(folder, "agent.mjs"), "--config", join(folder, "config.yaml"));
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (more: string) => (log += more));
  return {
    child,
    log: () => log,
    says: async (words) => {
      while (!words.test(log)) {
        if (child.exitCode !== null) throw new Error(`the agent ended: ${log}`);
        await Promise.race([once(child.stderr ?? child, "data"), once(child, "exit")]);
      }
    },
  };
}

let said = "";
const context: Context = {
  write: (text) => void (said += text),
  warn: (text) => void (said += text),
  terminal: false,
  env: {},
  signal: never,
};

/** Runs `khw-client enrol` and returns its output. */
async function runEnrol(...options: readonly ("renew" | "readmit")[]): Promise<string> {
  said = "";
  const flags = new Map([
    ["--nodes", `controller-0=127.0.0.1:${agentPort}`],
    ["--management-ca", join(pki, "ca.pem")],
    ["--management-certificate", join(pki, "admin.pem")],
    ["--management-key", join(pki, "admin-key.pem")],
    ["--project", "khw-testbed"],
    ["--region", "us-west1"],
    ["--zone", "us-west1-c"],
    ["--compute-endpoint", compute.url],
    ["--gce-auth", "none"],
    ["--identity-jwks", `${metadataUrl}/oauth2/v3/certs`],
    ["--node-timeout", "60s"],
  ]);
  const config = await loadConfig({ file: undefined, flags, folder, env: {} });
  const code = await enrol(config, context, { renew: options.includes("renew"), readmit: options.includes("readmit") });
  t.equal(code, 0, said);
  return said;
}

async function askInfo(): Promise<unknown> {
  const paths = { ca: join(pki, "ca.pem"), certificate: join(pki, "admin.pem"), key: join(pki, "admin-key.pem") };
  const node = connectNode(
    { name: "controller-0", host: "127.0.0.1", port: agentPort },
    await readManagementIdentity(paths),
  );
  try {
    return await node.info(never);
  } finally {
    node.close();
  }
}

await pkiInit(context, { folder: pki });

t.test("a newly installed agent can be enrolled and then serves its node", async (t) => {
  const agent = startAgent();
  await agent.says(/until the agent is enrolled\n/);
  t.same(await readdir(own), ["agent-key.pem.next"]);
  await t.rejects(askInfo(), { code: "NOT_ENROLLED", hint: /khw-client enrol/ });

  t.match(
    await runEnrol(),
    /^controller-0: the management CA is now in the instance's metadata\ncontroller-0: Google's token proves that this is instance \d+ of khw-testbed\ncontroller-0: enrolled: CN=controller-0, O=khw:agent, valid until \d{4}-\d\d-\d\d\n$/,
  );
  t.match(await askInfo(), { agentVersion: "1.2.3", identity: { name: "controller-0", project: "khw-testbed" } });
  t.same((await readdir(own)).sort(), ["agent-key.pem", "agent.pem", "ca.pem"]);
  for (const path of Object.values(files)) t.equal((await stat(path)).mode & 0o777, 0o600);
  t.match(await runEnrol(), /^controller-0: already enrolled: /);
  t.match(await runEnrol("renew"), /^controller-0: its certificate is not due for renewal yet\n$/);

  // The agent loads manually changed files without a restart.
  const authority = await readAuthority(pki);
  const old = await issue(
    authority,
    { name: "controller-0", role: "agent", days: 90 },
    new Date(Date.now() - 61 * 864e5),
  );
  await rm(files.certificate);
  await writeFile(files.key, old.key, { mode: 0o600 });
  await writeFile(files.certificate, old.certificate);
  await agent.says(/serving with the new certificate/);
  t.match(await runEnrol("renew"), /^controller-0: renewed: CN=controller-0/);
  t.not(await readFile(files.key, "utf8"), old.key);
  agent.child.kill("SIGTERM");
  t.same(await once(agent.child, "close"), [0, null], agent.log());
});

/**
 * Installs an identity for the agent. The certificate's issue date is this many days from now. A negative number means
 * a date in the past.
 */
async function place(days: number) {
  const authority = await readAuthority(pki);
  const request = { name: "controller-0", role: "agent", days: 90 } as const;
  const identity = await issue(authority, request, new Date(Date.now() + days * 864e5));
  await rm(files.certificate);
  await writeFile(files.key, identity.key, { mode: 0o600 });
  await writeFile(files.certificate, identity.certificate);
}

for (const [days, reason] of [
  [-91, /agent\.pem expired on \S+, and this machine's clock says \S+: refusing callers until the agent is enrolled\n/],
  [
    30,
    /agent\.pem is valid only from \S+, and this machine's clock says \S+: refusing callers until the agent is enrolled\n/,
  ],
] as const) {
  t.test(
    `an agent whose certificate is ${days < 0 ? "expired" : "not valid yet"} keeps running but refuses callers`,
    async (t) => {
      await place(days);
      const agent = startAgent();
      await agent.says(reason);
      await t.rejects(askInfo(), { code: "NOT_ENROLLED" });
      await agent.says(/this is controller-0 at /);
      t.match(
        await runEnrol(),
        /controller-0: enrolled: /,
        "an administrator with a certificate from the agent's CA can enrol the agent without instance metadata",
      );
      t.match(await askInfo(), { identity: { name: "controller-0" } });
      agent.child.kill("SIGTERM");
      t.same(await once(agent.child, "close"), [0, null], agent.log());
    },
  );
}

t.test("an agent resumes serving without a restart when it gets a valid certificate", async (t) => {
  await place(30);
  const agent = startAgent();
  await agent.says(/refusing callers until the agent is enrolled\n/);
  await t.rejects(askInfo(), { code: "NOT_ENROLLED" });
  await place(0);
  await agent.says(/serving with the certificate, valid until/);
  t.match(await askInfo(), { identity: { name: "controller-0" } });
  agent.child.kill("SIGTERM");
  t.same(await once(agent.child, "close"), [0, null], agent.log());
});

for (const [what, damage, reason] of [
  ["certificate is empty", () => writeFile(files.certificate, ""), /agent\.pem: .*: refusing callers/],
  ["key is gone", () => rm(files.key), /agent-key\.pem: ENOENT.*: refusing callers/],
] as const) {
  t.test(`an agent whose ${what} keeps running, refuses callers and can be re-enrolled`, async (t) => {
    await place(0);
    await damage();
    const agent = startAgent();
    await agent.says(reason);
    await agent.says(/this is controller-0 at /);
    t.match(await runEnrol(), /controller-0: enrolled: /);
    agent.child.kill("SIGTERM");
    t.same(await once(agent.child, "close"), [0, null], agent.log());
  });
}
