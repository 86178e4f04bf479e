/**
 * Tests the errors from calls to etcd's gateway. Uses real TLS servers. The errors must distinguish a running server
 * from a server that is down.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type ServerOptions } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t, { type Test } from "tap";
import { openGateway } from "../../../../agent/etcd/gateway.ts";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";
import { portOf } from "../../../fixtures/port-of.ts";

const dayMillis = 86_400_000;
const { signal } = new AbortController();
const past = new Date(Date.now() - 3 * dayMillis);
const authority = await createAuthority(past);
const identityOf = (name: string, role: "agent" | "admin", made: Date) =>
  issue(authority, { name, role, days: 1 }, made);
const caller = await identityOf("caller", "admin", new Date());

async function serve(t: Test, options: ServerOptions): Promise<string> {
  const server = createServer(options, (_request, response) => response.end("{}"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return `https://localhost:${portOf(server)}`;
}

const ask = (server: string) =>
  openGateway(server, { ca: authority.certificate, cert: caller.certificate, key: caller.key }).post("/", {}, signal);

t.test("a request to a server with a valid certificate succeeds", async (t) => {
  const { certificate: cert, key } = await identityOf("localhost", "agent", new Date());
  t.same(await ask(await serve(t, { cert, key })), {});
});

t.test("a server with an expired certificate is reported as unverifiable, not as down", async (t) => {
  const { certificate: cert, key } = await identityOf("localhost", "agent", past);
  await t.rejects(ask(await serve(t, { cert, key })), {
    code: "CREDENTIAL_INVALID",
    message: /its certificate cannot be verified: certificate has expired/,
  });
});

t.test("a server that rejects the client certificate is reported as rejecting it, not as down", async (t) => {
  // Uses openssl as the server. Like a Go server, openssl rejects the certificate with a TLS alert. Node's server only
  // closes the connection.
  const folder = t.testdir();
  const { certificate, key } = await identityOf("localhost", "agent", new Date());
  const { certificate: ca } = await createAuthority(new Date());
  const files = { "server.pem": certificate, "server-key.pem": key, "ca.pem": ca };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
  const verify = ["-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error"];
  const argv = ["s_server", "-accept", "0", "-cert", "server.pem", "-key", "server-key.pem", "-WWW", ...verify];
  const server = spawn("openssl", argv, { cwd: folder });
  t.teardown(async () => {
    server.kill();
    await once(server, "exit");
  });
  let port = "";
  for await (const line of createInterface({ input: server.stdout })) {
    port = /^ACCEPT .*:(\d+)$/.exec(line)?.[1] ?? "";
    if (port !== "") break;
  }
  await t.rejects(ask(`https://localhost:${port}`), {
    code: "CREDENTIAL_INVALID",
    message: /it does not accept the certificate: .*alert/,
  });
});

t.test("an address without a listening server is reported as NOT_READY", async (t) => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `https://localhost:${portOf(server)}`;
  server.close();
  await once(server, "close");
  await t.rejects(ask(url), { code: "NOT_READY", message: /ECONNREFUSED/ });
});
