import { createHash } from "node:crypto";
import t, { type Test } from "tap";
import { rollbackTimer } from "../../agent/agent-upgrade/rollback-units.ts";
import { keptPackage, packagesFolder, receivedPackage, unitFile } from "../../agent/paths.ts";
import { connectNode } from "../../client/cluster/agent-client.ts";
import {
  AgentPackage,
  AgentUpgrade,
  AgentUpgradeState,
  SetMaintenanceRequest,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Role } from "../../proto/roles.ts";
import type { FakeOs } from "../fakes/os.ts";
import { fakeDeb } from "../fakes/package-files.ts";
import { startAgent } from "../fixtures/agent-server.ts";
import { labMachine, never } from "../fixtures/machine.ts";

const [oldDeb, newDeb] = [fakeDeb({ version: "0.1.0" }), fakeDeb({ version: "0.2.0" })];

function machine(installed = "0.1.0"): FakeOs {
  const os = labMachine();
  os.installed.set("khw-agent", installed);
  const { sums }: { sums: string } = JSON.parse(fakeDeb({ version: installed }).toString("utf8"));
  os.files.put("/var/lib/dpkg/info/khw-agent.md5sums", sums);
  os.files.put(keptPackage, oldDeb, 0o600);
  return os;
}

async function open(t: Test, os: FakeOs) {
  const agent = await startAgent(os);
  t.teardown(() => agent[Symbol.asyncDispose]());
  const as = async (role: Role) => {
    const { key, certificate } = await agent.identity(role);
    const identity = { ca: agent.authority.certificate, certificate, key };
    const [ca, pem, keyPem] = [identity.ca, identity.certificate, identity.key].map((text) => Buffer.from(text));
    if (ca === undefined || pem === undefined || keyPem === undefined) throw new TypeError("three files");
    const address = { name: "controller-0", host: "127.0.0.1", port: agent.port };
    const node = connectNode(address, { ca, certificate: pem, key: keyPem });
    t.teardown(() => node.close());
    return node;
  };
  return { agent, admin: await as("admin"), viewer: await as("viewer") };
}

async function* chunksOf(content: Uint8Array, size = 16): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

function announce(deb: Uint8Array, options: Partial<AgentPackage> = {}): AgentPackage {
  const sha256 = createHash("sha256").update(deb).digest("hex");
  return AgentPackage.fromPartial({ size: deb.length, sha256, ...options });
}

t.test("only an administrator can upgrade an agent, and a damaged package changes nothing", async (t) => {
  const os = machine();
  const { agent, admin, viewer } = await open(t, os);
  await agent.node();
  const before = os.changes().length;
  await t.rejects(viewer.upgradeAgent(announce(newDeb), chunksOf(newDeb), never), { code: "PERMISSION_DENIED" });
  const wrong = announce(newDeb, { sha256: createHash("sha256").update("other").digest("hex") });
  await t.rejects(admin.upgradeAgent(wrong, chunksOf(newDeb), never), {
    code: "DIGEST_MISMATCH",
    node: "controller-0",
  });
  const unannounced = { ...announce(newDeb), size: 3 };
  await t.rejects(admin.upgradeAgent(unannounced, chunksOf(newDeb), never), { code: "INVALID_ARGUMENT" });
  t.notOk(
    os
      .changes()
      .slice(before)
      .some((change) => change.startsWith("apt-get")),
  );
  t.equal((await admin.status(never)).agentUpgrade, undefined);
  t.strictSame(await os.files.list(packagesFolder), ["kept.deb"]);
});

t.test(
  "a package that is too large for one message is sent in parts, and its installation appears in status and history",
  async (t) => {
    const os = machine();
    const { admin } = await open(t, os);
    const large = Buffer.concat([newDeb, Buffer.alloc(6_000_000, " ")]);
    const answer = await admin.upgradeAgent(announce(large), chunksOf(large, 256 * 1024), never);
    t.match(answer, { fromVersion: "0.1.0", toVersion: "0.2.0", upgrade: { holder: /^admin from / } });
    t.ok(os.changes().includes(`apt-get install ${receivedPackage}, then ${rollbackTimer}`));
    t.match((await admin.status(never)).agentUpgrade, { id: answer.upgrade?.id, toVersion: "0.2.0" });
    await t.rejects(admin.setMaintenance(SetMaintenanceRequest.fromPartial({ drained: true }), never), {
      code: "BUSY",
      message: /an agent upgrade to 0\.2\.0/,
    });
    const request = { sinceUnixMillis: 0, limit: 0, follow: false };
    const messages = [];
    for await (const { message } of admin.history(request, never)) messages.push(message);
    t.match(messages.at(-1), /from 0\.1\.0 to 0\.2\.0 by admin from .*: started/);
  },
);

t.test("a caller that disconnects during an upload does not block the next caller", async (t) => {
  const os = machine();
  const { admin } = await open(t, os);
  const leaving = new AbortController();
  const stuck = async function* (): AsyncGenerator<Uint8Array> {
    yield newDeb.subarray(0, 3);
    leaving.abort();
    await new Promise(() => {});
  };
  await t.rejects(admin.upgradeAgent(announce(newDeb), stuck(), leaving.signal));
  const { toVersion } = await admin.upgradeAgent(announce(newDeb, { checkOnly: true }), chunksOf(newDeb), never);
  t.equal(toVersion, "0.2.0");
});

t.test("a new agent confirms its upgrade after serving an administrator, but not after serving a viewer", async (t) => {
  const os = machine("0.2.0");
  const running = AgentUpgrade.fromPartial({
    id: "0f8fad5b-d9cb-469f-a165-70867728950e",
    fromVersion: "0.1.0",
    toVersion: "0.2.0",
    state: AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING,
  });
  os.files.put("/var/lib/khw-agent/agent-upgrade", AgentUpgrade.encode(running).finish(), 0o600);
  os.files.put(receivedPackage, newDeb, 0o600);
  os.files.put(unitFile(rollbackTimer), "[Timer]\n");
  const { admin, viewer, agent } = await open(t, os);
  const { statusStore } = await agent.node();
  await viewer.info(never);
  t.equal((await viewer.status(never)).agentUpgrade?.state, AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING);
  await t.rejects(admin.upgradeAgent(announce(newDeb), chunksOf(newDeb), never), { code: "BUSY" });
  const { state } = (await viewer.status(never)).agentUpgrade ?? {};
  t.equal(state, AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING, "a call that fails does not confirm the new agent");
  const done = new Promise<void>((resolve) => {
    statusStore.listen(({ agentUpgrade }) => {
      if (agentUpgrade?.state === AgentUpgradeState.AGENT_UPGRADE_STATE_DONE) resolve();
    });
  });
  await admin.info(never);
  await done;
  t.equal(os.files.text(keptPackage), newDeb.toString("utf8"));
  t.equal(os.files.text(unitFile(rollbackTimer)), undefined);
});
