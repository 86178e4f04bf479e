/** Tests khw.lock with the client and real agents, each on an in-memory machine. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type AgentNode, connectNode } from "../../client/cluster/agent-client.ts";
import type { Member } from "../../client/cluster/open.ts";
import { loadConfig } from "../../client/config/load.ts";
import { readLock } from "../../client/lock/file.ts";
import { lockPrograms, pinPrograms } from "../../client/lock/lock.ts";
import { applyToNodes } from "../../client/rollout/apply.ts";
import { inspect } from "../../client/rollout/findings.ts";
import type { NodeWork } from "../../client/cluster/node-work.ts";
import { components, programs } from "../../proto/components.ts";
import type { FakeOs } from "../fakes/os.ts";
import { startAgent } from "../fixtures/agent-server.ts";
import { labState } from "../fixtures/lab-cluster.ts";
import { digest, labMachine, never } from "../fixtures/machine.ts";

const program = "v1.21.0/bin/linux/amd64/kubectl";
const published = digest("kubectl of v1.21.0");
const tampered = digest("tampered");

/** Makes the mirror serve a different program and publish its digest. */
function tamper(os: FakeOs): FakeOs {
  os.mirror.set(program, "tampered");
  os.mirror.set(`${program}.sha256`, tampered);
  return os;
}

async function connect(t: Test, os: FakeOs): Promise<Member> {
  const agent = await startAgent(os);
  t.teardown(() => agent[Symbol.asyncDispose]());
  const { certificate, key } = await agent.identity("admin", "alice");
  const node: AgentNode = connectNode(
    { name: "controller-0", host: "127.0.0.1", port: agent.port },
    {
      ca: Buffer.from(agent.authority.certificate),
      certificate: Buffer.from(certificate),
      key: Buffer.from(key),
    },
  );
  t.teardown(() => node.close());
  return { node, info: await node.info(never) };
}

/** Plans and applies changes to these machines as bootstrap does. Resolves with the outcomes. */
async function bootstrap(t: Test, lockFile: string, machines: readonly FakeOs[]) {
  const loaded = await loadConfig({ file: undefined, flags: new Map(), folder: "/", env: {} });
  const config = { ...loaded, lockFile };
  const members = await Promise.all(machines.map((os) => connect(t, os)));
  const work = members.map(({ node }): NodeWork => ({ node, desired: labState(), maintenance: undefined }));
  const pinned = await pinPrograms({ config, members }, work);
  const { reported } = await inspect(members, pinned, never);
  const progress = { emit: () => {}, settled: async () => {} };
  const locked = await lockPrograms({ config, members }, pinned, { reported, progress });
  const none = new Set<AgentNode>();
  const options = { progress, signal: never, serving: none, inTurn: none, drain: none };
  return applyToNodes({ config, members: [], cloud: undefined }, locked, options);
}

async function newLock(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "khw-lock-"));
  t.teardown(() => rm(folder, { recursive: true }));
  return join(folder, "khw.lock");
}

t.test("the first run records the digests, and a program that differs on a later controller is refused", async (t) => {
  const lock = await newLock(t);
  const first = labMachine();
  t.match(await bootstrap(t, lock, [first, labMachine()]), [{ error: undefined }, { error: undefined }]);
  t.strictSame(
    (await readLock(lock)).map(({ program: name, sha256 }) => [name, sha256]),
    programs.map((name) => [name, digest(`${name} of v1.21.0`)]),
  );
  const later = tamper(labMachine());
  const [outcome] = await bootstrap(t, lock, [later]);
  t.match(outcome?.error, { code: "DIGEST_MISMATCH", step: "release/kubectl" });
  t.match(outcome?.error?.message, `${program}: SHA-256 is ${tampered}, not ${published}`);
  t.equal(later.files.text("/usr/local/bin/kubectl"), undefined, "the program with the wrong digest was not installed");
  t.strictSame(
    later.systemd.changes.filter((change) => /^(start|restart) kube-/.test(change)),
    components.map((component) => `start ${component}.service`),
    "the verified programs are started on a machine without a control plane",
  );

  // Even without khw.lock, the machine has its own record of its programs.
  await rm(lock);
  tamper(first);
  t.match(await bootstrap(t, lock, [first]), [{ error: undefined, changed: 0 }]);
  t.equal((await readLock(lock)).find(({ program: name }) => name === "kubectl")?.sha256, published);
});

t.test(
  "bootstrap fails before any change if one of three mirrors publishes a different digest on the first run",
  async (t) => {
    const lock = await newLock(t);
    const machines = [labMachine(), tamper(labMachine()), labMachine()];
    await t.rejects(bootstrap(t, lock, machines), {
      code: "DIGEST_MISMATCH",
      message: new RegExp(`kubectl v1\\.21\\.0 \\(amd64\\): .*${published} .*${tampered} `),
    });
    for (const machine of machines) t.strictSame(machine.changes(), []);
    t.strictSame(await readLock(lock), []);
  },
);
