/** Replaces the management CA of a real agent on loopback. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import t, { type Test } from "tap";
import { readManagementIdentity } from "../../client/cluster/channel.ts";
import { pkiIssue } from "../../client/commands/pki.ts";
import { pkiRotateManagement } from "../../client/commands/pki-rotate-management.ts";
import { loadConfig } from "../../client/config/load.ts";
import { accepts } from "../../client/management/agents.ts";
import { readManagementRotation } from "../../client/management/folder.ts";
import { addToRegister } from "../../client/pki/management/register.ts";
import { rotationsUnderWay } from "../../client/rotations/under-way.ts";
import type { Context } from "../../client/terminal/context.ts";
import { startAgent } from "../fixtures/agent-server.ts";
import packageJson from "../../package.json" with { type: "json" };
import { labMachine, never } from "../fixtures/machine.ts";

async function open(t: Test) {
  const agent = await startAgent(labMachine(), { version: packageJson.version });
  t.teardown(() => agent[Symbol.asyncDispose]());
  const base = t.testdir({ "khw-pki": {}, "khw.yaml": "" });
  const folder = join(base, "khw-pki");
  const { key, certificate } = await agent.identity("admin");
  const files = { "ca.pem": agent.authority.certificate, "ca-key.pem": agent.authority.key };
  for (const [name, text] of Object.entries({ ...files, "admin.pem": certificate, "admin-key.pem": key }))
    await writeFile(join(folder, name), text, { mode: 0o600 });
  const lines: string[] = [];
  const context = (signal = never): Context => ({
    write: (text) => void lines.push(text),
    warn: (text) => void lines.push(text),
    terminal: false,
    env: {},
    signal,
  });
  await pkiIssue(context(), { folder, names: ["jane"], role: "viewer" });
  const flags = new Map([
    ["--nodes", `controller-0=127.0.0.1:${agent.port}`],
    ["--load-balancer", "none"],
    ["--management-ca", join(folder, "ca.pem")],
    ["--management-certificate", join(folder, "admin.pem")],
    ["--management-key", join(folder, "admin-key.pem")],
  ]);
  const config = await loadConfig({ flags, folder: base, env: {} });
  const rotate = (dropOld = false, signal = never) =>
    pkiRotateManagement(config, context(signal), { output: "text", dropOld });
  const identityOf = (name: string) =>
    readManagementIdentity({
      ca: join(folder, "ca.pem"),
      certificate: join(folder, `${name}.pem`),
      key: join(folder, `${name}-key.pem`),
    });
  const address = { name: "controller-0", host: "127.0.0.1", port: agent.port };
  const stages = async () =>
    (await rotationsUnderWay({ credentials: base, management: folder })).map(({ stage }) => stage);
  return { agent, folder, rotate, identityOf, address, lines, stages };
}

t.test("the agent trusts both CAs during the rotation and only the new CA afterwards", async (t) => {
  const { agent, folder, rotate, identityOf, address, lines, stages } = await open(t);
  const oldAdmin = await identityOf("admin");
  await t.rejects(rotate(true), { code: "INVALID_ARGUMENT", message: /do not trust the new management CA yet/ });
  t.equal(await rotate(), 0);
  t.match(lines.join(""), /the rotation waits: every agent trusts both management CAs/);
  t.strictSame(await stages(), ["trusted"]);
  const bundle = await readFile(join(folder, "ca.pem"));
  const oldWithBundle = { ...oldAdmin, ca: bundle };
  for (const identity of [oldAdmin, await identityOf("admin"), await identityOf("jane")])
    t.ok(await accepts(address, identity, never), "the agent accepts old and new identities while the rotation waits");

  t.equal(await rotate(), 0, "a second run changes nothing");
  t.strictSame(await readFile(join(folder, "ca.pem")), bundle);

  t.equal(await rotate(true), 0);
  t.match(lines.join(""), /an identity from the old management CA is refused by: controller-0/);
  t.equal(await rotate(true), 0, "the last command succeeds when it is run again");
  t.match(lines.at(-1), /nothing to do: .* the last rotation has ended/);
  t.notOk(await accepts(address, oldWithBundle, never));
  for (const name of ["admin", "jane"]) t.ok(await accepts(address, await identityOf(name), never), name);
  t.strictSame(await stages(), []);
  t.equal(await readManagementRotation(folder), undefined);
  const ca = await readFile(join(folder, "ca.pem"), "utf8");
  t.not(ca, agent.authority.certificate);
  t.equal(ca.match(/BEGIN/g)?.length, 1);
  t.equal(await readFile(join(agent.folder, "ca.pem"), "utf8"), ca, "the agent has the same CA file");
  t.ok(new X509Certificate(await readFile(join(agent.folder, "a.pem"))).verify(new X509Certificate(ca).publicKey));
  t.ok((await readdir(folder)).every((name) => !name.startsWith("rotation")));
});

t.test("a rotation whose client is killed at any stage completes when the commands are run again", async (t) => {
  for (const stop of ["begin", "trusted", "moved"] as const) {
    const { agent, folder, rotate, identityOf, address, lines, stages } = await open(t);
    const ending = new AbortController();
    const stopping = async (dropOld: boolean): Promise<void> => {
      await t.rejects(rotate(dropOld, ending.signal), stop);
    };
    const push = lines.push.bind(lines);
    const words = { begin: /created the new management CA/, trusted: /trusts both/, moved: /trusts only that CA/ };
    lines.push = (...texts) => {
      if (texts.some((text) => words[stop].test(text))) ending.abort(new Error("killed"));
      return push(...texts);
    };
    if (stop === "moved") await rotate();
    await stopping(stop === "moved");
    lines.push = push;
    t.not((await stages()).length, 0, `${stop}: the folder shows that a rotation is under way`);
    if (stop !== "moved") t.equal(await rotate(), 0);
    t.equal(await rotate(true), 0);
    t.strictSame(await stages(), []);
    t.ok(await accepts(address, await identityOf("admin"), never));
    t.equal(await readFile(join(agent.folder, "ca.pem"), "utf8"), await readFile(join(folder, "ca.pem"), "utf8"));
  }
});

t.test("the rotation is refused if an agent does not respond, and nothing changes", async (t) => {
  const { agent, folder, rotate } = await open(t);
  const before = await readdir(folder);
  await agent.stop(new Error("stopped"));
  await t.rejects(rotate(), { code: "UNREACHABLE" });
  t.strictSame(await readdir(folder), before);
});

t.test("the rotation does not start while an agent of the register is not listed", async (t) => {
  const { folder, rotate, stages } = await open(t);
  const at = "2026-01-31T12:00:00.000Z";
  await addToRegister(folder, { event: "issued", at, name: "controller-1", serial: "A1" });
  await t.rejects(rotate(), {
    code: "INVALID_ARGUMENT",
    message: /this agent has a certificate from the management CA, but is not listed: controller-1/,
    hint: /khw-client pki revoke controller-1/,
  });
  t.strictSame(await stages(), []);
  await addToRegister(folder, { event: "revoked", at, name: "controller-1", serials: ["A1"] });
  t.equal(await rotate(), 0);
});
