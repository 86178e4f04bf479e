/**
 * Tests that a connection is closed if its peer vanishes silently. HTTP/2 pings must also work on connections that the
 * listener hands over.
 */
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:tls";
import { Server } from "@grpc/grpc-js";
import t from "tap";
import { openListener } from "../../agent/rpc/listener.ts";
import { serverOptions } from "../../agent/rpc/server-options.ts";
import { createAuthority, issue } from "../../client/pki/management/issue.ts";

const now = new Date();
const authority = await createAuthority(now);
const agent = await issue(authority, { name: "controller-0", role: "agent", days: 1 }, now);
const admin = await issue(authority, { name: "alice", role: "admin", days: 1 }, now);
const identity = { ca: authority.certificate, cert: admin.certificate, key: admin.key };

const options = serverOptions({
  audit: { accepted: () => {}, refused: () => {}, list: async () => [], close: async () => {} },
});
t.match(options, { "grpc.keepalive_time_ms": Number, "grpc.keepalive_timeout_ms": Number });
// These are the agent's options, but with shorter times. Otherwise the test would take half a minute.
const server = new Server({ ...options, "grpc.keepalive_time_ms": 200, "grpc.keepalive_timeout_ms": 200 });
const listener = await openListener(
  { server, ca: authority.certificate, certificate: agent.certificate, key: agent.key },
  { host: "127.0.0.1", port: 0, log: () => {} },
);
t.teardown(() => listener.close());
const place = { host: "127.0.0.1", port: listener.port, servername: "controller-0", ...identity };

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** The frame has type 4, length 0, no flags and stream 0. */
const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

t.test("the server disconnects a peer that does not respond to pings", async (t) => {
  const socket = connect({ ...place, ALPNProtocols: ["h2"] });
  t.teardown(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  socket.write(Buffer.concat([Buffer.from(preface), emptySettings]));
  socket.resume();
  await once(socket, "close", { signal: AbortSignal.timeout(20_000) });
  t.pass("the server closed the connection");
});

t.test("a peer that responds to pings stays connected", async (t) => {
  const session = connectHttp2(`https://127.0.0.1:${listener.port}`, place);
  t.teardown(() => session.destroy());
  let pings = 0;
  const answered = new Promise<void>((resolve) => {
    session.on("ping", () => {
      pings += 1;
      if (pings === 4) resolve();
    });
  });
  await answered;
  t.notOk(session.closed || session.destroyed);
});
