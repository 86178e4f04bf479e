import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import t from "tap";
import { connectNode } from "../../client/cluster/agent-client.ts";
import { createAuthority, issue } from "../../client/pki/management/issue.ts";
import { labState } from "../fixtures/lab-cluster.ts";
import { never } from "../fixtures/machine.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-agent-main-test-"));
t.teardown(() => rm(folder, { recursive: true }));
const main = new URL("../../agent/main.ts", import.meta.url);
const now = new Date();
const authority = await createAuthority(now);
const agent = await issue(authority, { name: "rack-4", role: "agent", days: 1 }, now);
const admin = await issue(authority, { name: "alice", role: "admin", days: 1 }, now);
const paths = { ca: join(folder, "ca.pem"), certificate: join(folder, "a.pem"), key: join(folder, "a-key.pem") };
await writeFile(paths.ca, authority.certificate);
await writeFile(paths.certificate, agent.certificate);
await writeFile(paths.key, agent.key);
await chmod(paths.key, 0o600);

async function config(name: string, changes: object = {}): Promise<string> {
  const path = join(folder, name);
  const whole = {
    listen: { host: "127.0.0.1", port: await freePort() },
    identity: paths,
    machine: { name: "rack-4", internalIp: "192.0.2.7" },
    stateFolder: join(folder, "state"),
    metricsPort: 0,
    ...changes,
  };
  await writeFile(path, JSON.stringify(whole));
  return path;
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Starts the agent program with a version, which the build would normally set. */
function run(...argv: string[]): ChildProcess {
  const start = `globalThis.KHW_VERSION = "1.2.3"; process.argv.splice(1, 0, "khw-agent"); await import(${JSON.stringify(main.href)});`;
  return spawn(process.execPath, ["--input-type=module", "--eval", start, "--", ...argv], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function outcome(...argv: string[]) {
  const child = run(...argv);
  const [out, err, [code]] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    once(child, "close"),
  ]);
  return { out, err, code };
}

t.test("--version, --help and --check-config work without starting the server", async (t) => {
  const good = await config("good.yaml");
  t.strictSame(await outcome("--version"), { out: "khw-agent 1.2.3\n", err: "", code: 0 });
  t.match(await outcome("--help"), { out: /^usage: khw-agent /, code: 0 });
  t.strictSame(await outcome("--config", good, "--check-config"), { out: `${good}: ok\n`, err: "", code: 0 });
});

t.test(
  "on invalid input, the agent prints the reason and the remedy, and exits with the matching exit code",
  async (t) => {
    const bad = await config("bad.yaml", { listen: { port: 0 } });
    t.match(await outcome("--config", bad, "--check-config"), {
      out: "",
      err: `${bad}: listen.port: is not a port\nhint: see \`man khw-agent\` for all keys\n`,
      code: 78,
    });
    t.match(await outcome("--frobnicate"), { err: /'--frobnicate'.*\nhint: run `khw-agent --help`/s, code: 64 });
    const keyless = await config("keyless.yaml", { identity: { ...paths, key: join(folder, "none.pem") } });
    // --check-config is needed here. Without it the agent would keep running, because it supervises the machine even
    // without an identity (enrol-main.test.ts).
    t.match(await outcome("--config", keyless, "--check-config"), {
      err: /none\.pem: ENOENT.*\nhint: .*pki issue/s,
      code: 65,
    });
  },
);

t.test("the agent serves until it receives a signal, and a second agent on the same port fails", async (t) => {
  const path = await config("serve.yaml");
  const child = run("--config", path);
  t.teardown(() => child.kill("SIGKILL"));
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (log += chunk));
  while (!log.includes("this is")) await once(child.stderr ?? child, "data");
  const [, port = ""] = /khw-agent 1\.2\.3 is serving on port (\d+)\nthis is rack-4 at 192\.0\.2\.7\n/.exec(log) ?? [];

  const second = await outcome("--config", path);
  t.match(second, {
    code: 74,
    err: /cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE.*\nhint: stop the program that is using this port/s,
  });

  const node = connectNode(
    { name: "rack-4", host: "127.0.0.1", port: Number(port) },
    {
      ca: Buffer.from(authority.certificate),
      certificate: Buffer.from(admin.certificate),
      key: Buffer.from(admin.key),
    },
  );
  t.teardown(() => node.close());
  t.match(await node.info(never), { agentVersion: "1.2.3", identity: { name: "rack-4", internalIp: "192.0.2.7" } });
  // The lab's state is for a different machine than rack-4, so this machine stays unchanged.
  const kinds: (string | undefined)[] = [];
  const request = { desired: labState(), operationId: "11111111-1111-4111-8111-111111111111" };
  for await (const { kind } of node.apply(request, never)) {
    kinds.push(kind?.$case === "operationFinished" ? kind.value.error?.code : kind?.$case);
  }
  t.equal(kinds[0], "operationStarted");
  t.equal(kinds.at(-1), "IDENTITY_MISMATCH");
  t.match(await node.info(never), { operation: { error: { code: "IDENTITY_MISMATCH", step: "identity" } } });

  const began = Date.now();
  child.kill("SIGTERM");
  const [code] = await once(child, "close");
  t.equal(code, 0);
  t.match(log, /stopping: SIGTERM\n$/);
  t.ok(Date.now() - began < 5_000, "idle callers do not delay the agent's exit");
});
