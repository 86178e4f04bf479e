import { execFile } from "node:child_process";
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { pkiInit } from "../../client/commands/pki.ts";
import { pkiRevoke } from "../../client/commands/pki-revoke.ts";
import type { Context } from "../../client/terminal/context.ts";
import { connectEnrolment } from "../../client/enrolment/connect.ts";
import { enrolNode } from "../../client/enrolment/enrol.ts";
import { probeCertificate } from "../../client/enrolment/probe.ts";
import { renewNode } from "../../client/enrolment/renew.ts";
import { readManagementIdentity } from "../../client/cluster/channel.ts";
import { readAuthority } from "../../client/pki/folder.ts";
import { type Identity, issue } from "../../client/pki/management/issue.ts";
import { addToRegister } from "../../client/pki/management/register.ts";
import { openSigner } from "../../client/pki/management/sign-agent.ts";
import { createTokenKey, instance, type TokenOptions } from "../fixtures/identity-token.ts";
import { never } from "../fixtures/machine.ts";
import { startWaitingAgent, type WaitingAgent } from "../fixtures/waiting-agent.ts";

const run = promisify(execFile);
const context: Context = { write: () => {}, warn: () => {}, terminal: false, env: {}, signal: never };

interface Scene {
  readonly agent: WaitingAgent;
  readonly folder: string;
  readonly enrol: (waitMillis?: number) => Promise<string>;
  readonly said: string[];
  readonly address: { readonly name: string; readonly host: string; readonly port: number };
}

async function open(t: Test): Promise<Scene> {
  const agent = await startWaitingAgent();
  t.teardown(() => agent[Symbol.asyncDispose]());
  const folder = join(t.testdir(), "khw-pki");
  await pkiInit(context, { folder });
  const said: string[] = [];
  const address = { name: instance.name, host: "127.0.0.1", port: agent.port };
  const enrol = async (waitMillis = 10_000): Promise<string> =>
    enrolNode(
      { address, zone: instance.zone },
      {
        compute: agent.compute,
        project: instance.project,
        identity: await identityIn(folder),
        signer: await openSigner({ folder, days: 90 }),
        keys: agent.google.keys,
        waitMillis,
        signal: never,
        say: (text) => said.push(text),
      },
    );
  return { agent, folder, enrol, said, address };
}

function identityIn(folder: string) {
  const file = (name: string): string => join(folder, name);
  return readManagementIdentity({ ca: file("ca.pem"), certificate: file("admin.pem"), key: file("admin-key.pem") });
}

t.test("an agent without a certificate accepts enrolment by the CA in its instance's metadata", async (t) => {
  const { agent, folder, enrol, said } = await open(t);
  t.match(await enrol(), /^enrolled: CN=controller-0, O=khw:agent, valid until \d{4}-\d\d-\d\d$/);
  t.same(said, [
    "the management CA is now in the instance's metadata",
    "Google's token proves that this is instance 4711 of khw-testbed",
  ]);
  t.ok(agent.enrolled);
  await run("openssl", ["verify", "-CAfile", join(folder, "ca.pem"), agent.paths.certificate]);
  t.equal((await stat(agent.paths.key)).mode & 0o777, 0o600);
  t.match(
    agent.metadata().items[0],
    { key: "startup-script", value: "true" },
    "the other metadata values are unchanged",
  );

  const certificate = await readFile(agent.paths.certificate, "utf8");
  t.match(await enrol(), /^already enrolled: /);
  t.equal(await readFile(agent.paths.certificate, "utf8"), certificate);
});

t.test("a slow metadata server delays enrolment but does not make it fail", async (t) => {
  const { agent, enrol } = await open(t);
  // The delay exceeds two seconds. After two seconds, the agent closes connections that were opened before it knew the
  // CA.
  agent.token = async (audience) => delay(2_500, { audience });
  t.match(await enrol(), /^enrolled: CN=controller-0/);
});

/** Asserts that nothing was signed or installed, and that the agent is still waiting. */
async function gotNothing(t: Test, { agent, folder }: Scene): Promise<void> {
  t.notOk(agent.enrolled);
  await t.rejects(stat(agent.paths.certificate), { code: "ENOENT" });
  await t.rejects(stat(join(folder, "agents.jsonl")), { code: "ENOENT" });
}

const forged: readonly (readonly [string, Partial<TokenOptions>])[] = [
  ["another project's", { engine: { project_id: "khw-other" } }],
  ["another zone's", { engine: { zone: "us-west1-b" } }],
  ["another instance's", { engine: { instance_name: "controller-1" } }],
  ["from an earlier instance with the same name", { engine: { instance_id: "4710" } }],
  ["for another audience", { audience: "https://vault.example.com" }],
  ["stale", { issuedIn: -600 }],
  ["from the future", { issuedIn: 600 }],
];
for (const [what, options] of forged) {
  t.test(`a node whose token is ${what} gets no certificate`, async (t) => {
    const scene = await open(t);
    scene.agent.token = (audience) => ({ audience, ...options });
    await t.rejects(scene.enrol(), { code: "IDENTITY_MISMATCH" });
    await gotNothing(t, scene);
  });
}

t.test("a replayed token with an earlier nonce is refused, and no certificate is issued", async (t) => {
  const scene = await open(t);
  const audiences: string[] = [];
  scene.agent.token = (audience) => ({
    audience: (audiences.push(audience), audiences[0] ?? ""),
    issuedIn: audiences.length > 1 ? -1 : -600,
  });
  await t.rejects(scene.enrol(), { code: "IDENTITY_MISMATCH", message: /iat/ });
  await t.rejects(scene.enrol(), { code: "IDENTITY_MISMATCH", message: /"aud"/ });
  t.not(audiences[0], audiences[1]);
  await gotNothing(t, scene);
});

t.test("a token that Google did not sign is refused, and no certificate is issued", async (t) => {
  const scene = await open(t);
  const impostor = await createTokenKey();
  Object.assign(scene.agent.google, { keys: impostor.keys });
  await t.rejects(scene.enrol(), { code: "IDENTITY_MISMATCH", message: /signature verification failed/ });
  await gotNothing(t, scene);
});

t.test("enrol does not change an agent that is enrolled with another CA", async (t) => {
  const scene = await open(t);
  await scene.enrol();
  const other = join(t.testdirName, "other");
  await pkiInit(context, { folder: other });
  const before = await readFile(scene.agent.paths.certificate, "utf8");
  const mismatched = enrolNode(
    { address: scene.address, zone: instance.zone },
    {
      compute: scene.agent.compute,
      project: instance.project,
      identity: await identityIn(other),
      signer: await openSigner({ folder: other, days: 90 }),
      keys: scene.agent.google.keys,
      waitMillis: 1_500,
      signal: never,
      say: () => {},
    },
  );
  await t.rejects(mismatched, { code: "WRONG_NODE", message: /its certificate is from another management CA/ });
  t.equal(await readFile(scene.agent.paths.certificate, "utf8"), before);
});

t.test("an agent that waits for enrolment by one CA refuses the administrator of another CA", async (t) => {
  const scene = await open(t);
  const other = join(t.testdirName, "other");
  await pkiInit(context, { folder: other });
  const ca = await readFile(join(other, "ca.pem"), "utf8");
  // The agent keeps its current CA, whatever this client publishes.
  Object.assign(scene.agent.compute, { setMetadata: async () => {} });
  const items = [{ key: "khw-management-ca", value: ca }];
  scene.agent.setMetadata({ fingerprint: "2", items });
  const refused = scene.enrol(1_500);
  await t.rejects(refused, { code: "UNAUTHENTICATED", message: /does not know this management CA/ });
  await gotNothing(t, scene);
});

t.test(
  "an agent refuses enrolment calls from an unknown CA or from a caller that is not an administrator",
  async (t) => {
    const { agent, folder, address } = await open(t);
    const identity = await identityIn(folder);
    const shown = await probeCertificate(address, { waitMillis: 5_000, signal: never });
    const connect = (as: typeof identity) => {
      const node = connectEnrolment(address, as, shown);
      t.teardown(() => node.close());
      return node;
    };
    await t.rejects(connect(identity).request(Buffer.alloc(32), never), { code: "UNAUTHENTICATED" });

    agent.setMetadata({ fingerprint: "2", items: [{ key: "khw-management-ca", value: identity.ca.toString() }] });
    const viewer = connect(
      withIdentity(
        identity.ca,
        await issue(await readAuthority(folder), { name: "bob", role: "viewer", days: 1 }, new Date()),
      ),
    );
    t.match(await viewer.enrolment(never), { enrolled: false, certificate: "" });
    await t.rejects(viewer.request(Buffer.alloc(32), never), { code: "PERMISSION_DENIED" });
    await t.rejects(viewer.install("", never), { code: "PERMISSION_DENIED" });

    const admin = connect(identity);
    await t.rejects(admin.request(Buffer.alloc(5), never), { code: "INVALID_ARGUMENT", message: /nonce/ });
    await t.rejects(admin.install("garbage", never), { code: "CREDENTIAL_INVALID" });
    t.notOk(agent.enrolled);
  },
);

function withIdentity(ca: Buffer, { certificate, key }: Identity) {
  return { ca, certificate: Buffer.from(certificate), key: Buffer.from(key) };
}

t.test("instance metadata that changes concurrently is read again and not overwritten", async (t) => {
  const { agent, enrol } = await open(t);
  const { setMetadata } = agent.compute;
  let changes = 0;
  const meddled: typeof setMetadata = async (reference, metadata, signal) => {
    if (changes++ > 0) return setMetadata(reference, metadata, signal);
    const theirs = { fingerprint: metadata.fingerprint, items: [{ key: "startup-script", value: "false" }] };
    await setMetadata(reference, theirs, signal);
    const { Refusal } = await import("../../client/gce/refusal.ts");
    throw new Refusal(412, "Supplied fingerprint does not match", { reason: "conditionNotMet" });
  };
  Object.assign(agent.compute, { setMetadata: meddled });
  t.match(await enrol(), /^enrolled/);
  t.equal(agent.metadata().items.find(({ key }) => key === "startup-script")?.value, "false");
});

t.test("after two thirds of its validity, a certificate is renewed over a dedicated connection", async (t) => {
  const { agent, folder, enrol, address } = await open(t);
  await enrol();
  const signal = never;
  const identity = await identityIn(folder);
  const signer = () => openSigner({ folder, days: 90 });
  t.equal(
    await renewNode(address, { identity, signer, signal }),
    undefined,
    "a certificate that is not due is not renewed",
  );

  // The agent was enrolled 61 days ago.
  const authority = await readAuthority(folder);
  const old = await issue(
    authority,
    { name: "controller-0", role: "agent", days: 90 },
    new Date(Date.now() - 61 * 864e5),
  );
  await replaceIdentity(agent, old);
  const standing = connectEnrolment(address, identity, "management");
  t.teardown(() => standing.close());
  const { peer } = await standing.enrolment(signal);
  t.match(await renewNode(address, { identity, signer, signal }), /^CN=controller-0, O=khw:agent, valid until/);
  t.not(await readFile(agent.paths.key, "utf8"), old.key, "the renewed certificate has a new key");
  const again = await standing.enrolment(signal);
  t.equal(again.peer.serialNumber, peer.serialNumber, "the open connection still uses the old certificate");
  t.not(again.certificate, peer.toString(), "the agent reports the new certificate over the open connection");

  await addToRegister(folder, { event: "revoked", at: new Date().toISOString(), name: "controller-1", serials: [] });
  t.equal(await renewNode(address, { identity: await identityIn(folder), signer, signal }), undefined);
  await replaceIdentity(agent, old);
  await pkiRevoke(context, { folder, names: ["controller-0"] });
  const revoked = renewNode(address, { identity: await identityIn(folder), signer, signal });
  await t.rejects(revoked, { code: "WRONG_NODE", message: /certificate [0-9A-F]+ of controller-0 was revoked/ });
  // A workstation with an outdated copy of the register can still connect to the agent, but signs no certificate.
  await t.rejects(renewNode(address, { identity, signer, signal }), { code: "PERMISSION_DENIED" });
  await t.rejects(enrol(), { message: /was revoked/ });
});

/**
 * Writes the identity into the agent's files by hand, the certificate last. Waits until the agent is serving with this
 * identity.
 */
async function replaceIdentity({ paths }: WaitingAgent, { certificate, key }: Identity): Promise<void> {
  const { rename, writeFile } = await import("node:fs/promises");
  await rm(paths.certificate);
  await writeFile(paths.key, key, { mode: 0o600 });
  await writeFile(`${paths.certificate}.hand`, certificate);
  await rename(`${paths.certificate}.hand`, paths.certificate);
  await new Promise((resolve) => setTimeout(resolve, 500));
}
