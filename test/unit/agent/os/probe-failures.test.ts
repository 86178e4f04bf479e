/**
 * Tests the reasons that failed probes report. Uses real sockets. Each reason allows a different conclusion about the
 * server.
 */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { createProbes } from "../../../../agent/os/probes.ts";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";

const probes = createProbes({ now: Date.now });
const options = { signal: new AbortController().signal, timeoutMillis: 5000 };
const dayMillis = 86_400_000;

async function listen(t: Test, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return portOf(server);
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (typeof address !== "object" || address === null) throw new Error("it does not listen");
  return address.port;
}

/** Starts a server on localhost with a certificate that expires in this many milliseconds. */
async function serverUntil(t: Test, leftMillis: number) {
  const now = Date.now();
  const authority = await createAuthority(new Date(now - 3 * dayMillis));
  const agent = { name: "localhost", role: "agent", days: 1 } as const;
  const { certificate: cert, key } = await issue(authority, agent, new Date(now + leftMillis - dayMillis));
  const server = createTlsServer({ cert, key }, (_request, response) => response.end("ok"));
  const port = await listen(t, server);
  t.teardown(() => server.closeAllConnections());
  const validTo = new X509Certificate(cert).validToDate.getTime();
  return { url: `https://localhost:${port}/healthz`, caPem: authority.certificate, server, validTo };
}

t.test(
  "a server with an expired certificate is reported as unverified, with the certificate and the server's time",
  async (t) => {
    const { url, caPem } = await serverUntil(t, -dayMillis);
    for (const keepAlive of [false, true]) {
      const result = await probes.http(url, { ...options, caPem, keepAlive });
      t.match(result, { status: 0, failure: "unverified", body: "certificate has expired" });
      const { subject, validFrom = 0, validTo = 0, serverTime = 0 } = result.certificate ?? {};
      t.match(subject, /CN=localhost/);
      t.ok(validFrom < validTo && validTo < Date.now());
      t.ok(Math.abs(serverTime - Date.now()) < 60_000, "the reported server time comes from the server's own clock");
    }
  },
);

t.test("a certificate that expires during a keep-alive connection is detected on that connection", async (t) => {
  // On a busy machine, creating keys and certificates can take a long time.
  const { url, caPem, server, validTo } = await serverUntil(t, 30_000);
  server.keepAliveTimeout = 120_000;
  let now = Date.now();
  const kept = createProbes({ now: () => now });
  const ask = () => kept.http(url, { ...options, caPem, keepAlive: true });
  t.match(await ask(), { status: 200 });
  now = validTo + 1000;
  const result = await ask();
  t.match(result, { status: 0, failure: "unverified", certificate: { subject: /CN=localhost/ } });
});

t.test(
  "a probe reports rejected or closed if the server rejects the client certificate, and rejected if it lacks TLS",
  async (t) => {
    const authority = await createAuthority(new Date());
    const { certificate: cert, key } = await issue(
      authority,
      { name: "localhost", role: "agent", days: 1 },
      new Date(),
    );
    const choosy = createTlsServer({ cert, key, ca: authority.certificate, requestCert: true });
    const url = `https://localhost:${await listen(t, choosy)}/`;
    const answer = await probes.http(url, { ...options, caPem: authority.certificate });
    t.match(answer, { status: 0, failure: /^(rejected|closed)$/ });
    const plain = createHttpServer((_request, response) => response.end("ok"));
    t.match(await probes.http(`https://localhost:${await listen(t, plain)}/`, options), { failure: "rejected" });
  },
);

t.test("a probe reports whether the server closed or refused the connection", async (t) => {
  const closing = createServer((socket) => socket.on("error", () => {}).end());
  t.match(await probes.http(`http://127.0.0.1:${await listen(t, closing)}/`, options), { failure: "closed" });
  const babbling = createServer((socket) => socket.on("error", () => {}).end("this is no HTTP\r\n\r\n"));
  t.match(await probes.http(`http://127.0.0.1:${await listen(t, babbling)}/`, options), { failure: "closed" });
  t.match(await probes.http("http://127.0.0.1:9/", options), { failure: "refused" });
});

t.test(
  "a probe with an invalid certificate file or an unroutable address is reported as the caller's failure",
  async (t) => {
    const { url, caPem } = await serverUntil(t, dayMillis);
    t.match(await probes.http(url, { ...options, caPem, certPem: "?", keyPem: "?" }), { failure: "own" });
    t.match(await probes.http("http://255.255.255.255:80/", options), { failure: "own" });
  },
);

t.test("a probe that times out while the agent itself is busy is not counted against the server", async (t) => {
  const silent = createServer(() => {});
  const url = `http://127.0.0.1:${await listen(t, silent)}/`;
  t.match(await probes.http(url, { ...options, timeoutMillis: 100 }), { failure: "silent" });
  const probe = probes.http(url, { ...options, timeoutMillis: 100 });
  await delay(20);
  for (const end = performance.now() + 1500; performance.now() < end;);
  t.match(await probe, { failure: "own", body: /busy or stopped/ });
});

t.test("the number of waiting connections is zero for an idle listener and undefined without a listener", async (t) => {
  const server = createServer(() => {});
  const port = await listen(t, server);
  t.equal(await probes.waiting(port), 0);
  server.close();
  await once(server, "close");
  t.equal(await probes.waiting(port), undefined);
});

t.test("the self-check reports loopback, event-loop delay and memory", async (t) => {
  const facts = await probes.self(options.signal);
  t.match(facts, { loopback: null });
  t.ok(facts.lateMillis >= 0 && facts.freeBytes > 0 && facts.memoryShare >= 0 && facts.memoryShare <= 1);
  const busy = probes.self(options.signal);
  for (const end = performance.now() + 1500; performance.now() < end;);
  t.ok((await busy).lateMillis > 1000, "a blocked event loop is reported as late");
  await t.rejects(probes.self(AbortSignal.abort(new Error("stop"))), { message: "stop" });
});

t.test("a connection that has not been accepted yet is counted as waiting", async (t) => {
  // The kernel has completed the handshake, but the server in this process has not had time to accept the connection.
  const server = createServer(() => {});
  const port = await listen(t, server);
  const socket = connect(port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  await once(socket, "connect");
  t.ok(((await probes.waiting(port)) ?? -1) >= 0);
});
