import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import type { LogEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { secretsOf } from "../fixtures/secrets.ts";
import { type Script, startScripted } from "../fixtures/scripted-agents.ts";
import { wellStatus } from "../fixtures/status.ts";
import { makeCredentials } from "../testbed/credentials.ts";

const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "khw-bundle-"));
t.teardown(() => rm(folder, { recursive: true }));
const credentials = join(folder, "credentials");
await run("mkdir", [credentials]);
await makeCredentials(credentials, { nodes: [{ address: "10.240.0.10" }], publicAddress: "127.31.7.9" });
const jwt = `${Buffer.from('{"alg":"RS256"}').toString("base64url")}.${Buffer.from('{"sub":"system:serviceaccount:default:x"}').toString("base64url")}.c2lnbmF0dXJlc2lnbmF0dXJl`;

function lines(text: string): LogEntry[] {
  return text
    .split("\n")
    .map((line, index) => ({ timeUnixMillis: Date.now() + index, text: line, priority: 6, pid: 7 }));
}

/** Returns the script of an agent that leaks every secret in every form, wherever an agent could leak it. */
async function leaky(management: string): Promise<Script> {
  const names = (await readdir(credentials)).filter(
    (name) => !/^(ca|kubernetes|admin|service-account|kube-[a-z-]+)\.pem$/.test(name),
  );
  const files = await Promise.all(
    [...names.map((name) => join(credentials, name)), management].map((file) => readFile(file, "utf8")),
  );
  const spoken = [
    ...files,
    ...files.map((file) => JSON.stringify(file)),
    ...files.map((file) => `read ${Buffer.from(file).toString("base64")}`),
    `Authorization: Bearer ${jwt}`,
    `token is ${jwt}`,
    "proxy http://user:pa55word@proxy:3128",
  ].join("\n");
  return {
    status: wellStatus("controller-0", {
      operation: {
        id: "1",
        holder: "a",
        startedUnixMillis: 1,
        state: 3,
        error: { code: "IO_FAILED", message: spoken, hint: "", node: "", step: "" },
      },
    }),
    logs: () => lines(spoken),
    history: () => [{ id: 1, timeUnixMillis: 1, kind: 2, subject: "s", message: spoken, cause: jwt, problem: false }],
    drift: {
      steps: [{ id: "config/x", title: "x", drift: spoken }],
      differences: [{ step: "config/x", path: "/etc/x", found: spoken, wanted: `${spoken}\nmore` }],
    },
  };
}

async function unpack(file: string): Promise<Map<string, string>> {
  const into = await mkdtemp(join(folder, "unpacked-"));
  await run("tar", ["xzf", file, "-C", into]);
  const entries = await readdir(into, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(found.map(async (path) => [path.slice(into.length + 1), await readFile(path, "utf8")] as const)),
  );
}

t.test("the support bundle contains the agents' data but none of their secrets", async (t) => {
  await using cluster = await startScripted({
    "controller-0": { status: wellStatus("controller-0") },
    "controller-1": { status: wellStatus("controller-1") },
    "controller-2": { status: wellStatus("controller-2") },
  });
  await using leaking = await startScripted({
    "controller-0": await leaky(join(cluster.folder, "admin-key.pem")),
    "controller-1": { status: wellStatus("controller-1") },
  });
  await leaking.agents[1]?.stop();
  const file = join(folder, "one.tar.gz");
  const argv = [
    "support-bundle",
    "--file",
    file,
    "--credentials",
    credentials,
    "--public-address",
    "127.31.7.9",
    "--proxy",
    "http://user:pa55word@proxy:3128",
  ];
  const client = leaking.client(argv);
  t.equal(await client.code, 0);
  t.match(client.err(), /^controller-1 does not answer/);
  t.equal((await stat(file)).mode & 0o777, 0o600);

  const files = await unpack(file);
  const journals = ["etcd", "khw-agent", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"].map(
    (name) => `one/nodes/controller-0/journal/${name}.log`,
  );
  const node = ["differences.diff", "events.jsonl", "info.json", "plan.json", "status.json"].map(
    (name) => `one/nodes/controller-0/${name}`,
  );
  t.strictSame(
    [...files.keys()].sort(),
    [
      "one/config.json",
      "one/doctor.json",
      "one/doctor.txt",
      "one/manifest.json",
      "one/nodes/controller-1/unreachable.txt",
      ...journals,
      ...node,
    ].sort(),
  );
  const all = [...files.values()].join("\n");
  const secrets = [
    ...(await secretsOf(credentials)),
    ...(await secretsOf(cluster.folder)),
    jwt,
    jwt.split(".")[2] ?? "",
    "pa55word",
  ];
  t.ok(secrets.length > 100, `the test searches for more than 100 secrets: ${secrets.length}`);
  t.strictSame(
    secrets.filter((secret) => all.includes(secret)),
    [],
  );
  t.match(all, "[masked: private key]");
  for (const [path, text] of files) if (path.endsWith(".json")) t.doesNotThrow(() => JSON.parse(text), path);
  t.match(files.get("one/nodes/controller-0/status.json"), '"kube-apiserver"');
  t.match(files.get("one/nodes/controller-1/unreachable.txt"), /no connection/);
});

t.test("an existing file is overwritten only with --force, and no partial file is left behind", async (t) => {
  await using cluster = await startScripted({ "controller-0": { status: wellStatus("controller-0") } });
  const file = join(folder, "two.tar.gz");
  await writeFile(file, "mine");
  const argv = ["support-bundle", "--file", file, "--credentials", credentials, "--public-address", "127.31.7.9"];
  await t.rejects(cluster.client(argv).code, { code: "INVALID_ARGUMENT", hint: /--force/ });
  t.equal(await readFile(file, "utf8"), "mine");
  const forced = cluster.client([...argv, "--force", "--output", "json"]);
  t.equal(await forced.code, 0);
  t.match(JSON.parse(forced.out()), { file, bytes: (await stat(file)).size, unreachable: [] });
  const missing = join(folder, "no", "three.tar.gz");
  await t.rejects(cluster.client(["support-bundle", "--file", missing]).code, {
    code: "IO_FAILED",
    message: /three\.tar\.gz/,
  });
  const interrupted = cluster.client(["support-bundle", "--file", join(folder, "four.tar.gz")]);
  interrupted.interrupt();
  await t.rejects(interrupted.code);
  t.strictSame(
    (await readdir(folder)).filter((name) => /part|four/.test(name)),
    [],
  );
});
