import { once } from "node:events";
import { createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import t from "tap";
import { createAuthority, issue } from "../../../client/pki/management/issue.ts";
import { createKubernetesApi } from "../../../proto/kubernetes-api.ts";
import { portOf } from "../../fixtures/port-of.ts";

const never = new AbortController().signal;
const now = new Date();
const authority = await createAuthority(now);
const [server, client, stranger] = await Promise.all([
  issue(authority, { name: "localhost", role: "agent", days: 1 }, now),
  issue(authority, { name: "alice", role: "admin", days: 1 }, now),
  createAuthority(now),
]);

t.test("each request uses a new connection and verifies the server's certificate again", async (t) => {
  const sockets: TLSSocket[] = [];
  const tls = { cert: server.certificate, key: server.key, ca: authority.certificate, requestCert: true };
  const listener = createServer(tls, (_, response) => response.end('{"gitVersion":"v1.21.0"}'));
  listener.on("secureConnection", (socket) => sockets.push(socket));
  await once(listener.listen(0, "127.0.0.1"), "listening");
  t.teardown(() => listener.close());
  const options = { server: `https://localhost:${portOf(listener)}`, timeoutMillis: 10_000 };
  const pair = { certificate: Buffer.from(client.certificate), key: Buffer.from(client.key) };
  const api = createKubernetesApi({ ...options, ...pair, ca: Buffer.from(authority.certificate) });
  for (let request = 0; request < 3; request++) {
    t.strictSame(await api("GET", "/version", { signal: never }), { status: 200, body: { gitVersion: "v1.21.0" } });
  }
  t.equal(sockets.length, 3);
  t.ok(sockets.every((socket) => socket.authorized && !socket.isSessionReused()));

  const other = createKubernetesApi({ ...options, ...pair, ca: Buffer.from(stranger.certificate) });
  await t.rejects(other("GET", "/version", { signal: never }), { code: "UNREACHABLE" });
  t.throws(() => createKubernetesApi({ ...options, ...pair, key: Buffer.from(server.key), ca: Buffer.of() }), {
    code: "CREDENTIAL_INVALID",
  });
});

t.test("a PATCH is a server-side apply, which is forced unless the caller says otherwise", async (t) => {
  const requests: string[] = [];
  const listener = createServer({ cert: server.certificate, key: server.key }, ({ method, url, headers }, response) => {
    requests.push(`${method} ${url} ${headers["content-type"]}`);
    response.end("{}");
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  t.teardown(() => listener.close());
  const options = { server: `https://localhost:${portOf(listener)}`, timeoutMillis: 10_000 };
  const api = createKubernetesApi({ ...options, ca: Buffer.from(authority.certificate) });
  await api("PATCH", "/a", { signal: never, body: {} });
  await api("PATCH", "/a", { signal: never, body: {}, force: false, dryRun: true });
  await api("DELETE", "/a", { signal: never, body: {} });
  await api("DELETE", "/a", { signal: never });
  t.strictSame(requests, [
    "PATCH /a?fieldManager=khw&force=true application/apply-patch+yaml",
    "PATCH /a?fieldManager=khw&force=false&dryRun=All application/apply-patch+yaml",
    "DELETE /a application/json",
    "DELETE /a undefined",
  ]);
});
