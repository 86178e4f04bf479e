import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import { Worker } from "node:worker_threads";
import t from "tap";
import { createProbes } from "../../../../agent/os/probes.ts";
import { listening, selfSigned } from "../../../fakes/mirror.ts";

const probes = createProbes({ now: Date.now });
const options = { signal: new AbortController().signal, timeoutMillis: 2000 };

t.test("a probe returns the status and the start of the response body, regardless of the status", async (t) => {
  const server = createServer((request, response) => {
    response.writeHead(500);
    response.end(`[-]etcd failed for ${request.headers.host}\n${"x".repeat(100_000)}`);
  });
  const url = `http://127.0.0.1:${await listening(t, server)}/healthz`;
  const { status, body } = await probes.http(url, { ...options, host: "kubernetes.default.svc.cluster.local" });
  t.equal(status, 500);
  t.match(body, /^\[-\]etcd failed for kubernetes\.default\.svc\.cluster\.local\n/);
  t.equal(body.length, 4096);
});

t.test("a failed connection or a timeout is returned as a result and not thrown", async (t) => {
  const silent = createServer(() => undefined);
  const trickling = createServer((_request, response) => {
    response.writeHead(200);
    response.write("o");
  });
  t.match(await probes.http("http://127.0.0.1:9/", options), { status: 0, body: /ECONNREFUSED/ });
  for (const server of [silent, trickling]) {
    const url = `http://127.0.0.1:${await listening(t, server)}/`;
    t.same(await probes.http(url, { ...options, timeoutMillis: 100 }), {
      status: 0,
      body: "no answer within 0.1 s",
      failure: "silent",
    });
  }
  const reason = new Error("stop");
  const controller = new AbortController();
  const probe = probes.http(
    `http://127.0.0.1:${await listening(
      t,
      createServer(() => undefined),
    )}/`,
    {
      ...options,
      signal: controller.signal,
    },
  );
  controller.abort(reason);
  await t.rejects(probe, reason);
});

t.test(
  "a keep-alive connection is reused for the next probe, and is replaced if the server has closed it",
  async (t) => {
    const sockets = new Set<Socket>();
    const server = createServer((request, response) => {
      sockets.add(request.socket);
      response.end("ok");
    });
    const url = `http://127.0.0.1:${await listening(t, server)}/`;
    const ask = () => probes.http(url, { ...options, keepAlive: true });
    t.match(await ask(), { status: 200 });
    t.match(await ask(), { status: 200 });
    t.equal(sockets.size, 1);
    // The next probe starts in the same turn of the event loop, so the prober has not noticed yet that the connection
    // is closed.
    for (const socket of sockets) socket.destroy();
    t.match(await ask(), { status: 200, body: "ok" });
    t.equal(sockets.size, 2);
    t.match(await probes.http(url, options), { status: 200 });
    t.equal(sockets.size, 3, "a probe without keep-alive opens its own connection");
  },
);

/**
 * The server runs in its own thread to imitate a separate process. Therefore the prober cannot control whether the
 * client or the server finishes first.
 */
const separate = `
const { parentPort, workerData } = require("node:worker_threads");
let connections = 0;
const server = require("node:https").createServer(workerData, (request, response) => response.end(String(connections)));
server.on("secureConnection", () => connections++).listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

t.test("all keep-alive probes use the same connection", async (t) => {
  const { cert, key } = await selfSigned(t);
  const worker = new Worker(separate, { eval: true, workerData: { cert, key } });
  t.teardown(() => worker.terminate());
  const [port]: number[] = await once(worker, "message");
  const ask = () => probes.http(`https://127.0.0.1:${port}/`, { ...options, caPem: cert, keepAlive: true });
  for (let probe = 0; probe < 100; probe++) {
    t.match(await ask(), { status: 200, body: "1" });
    // The delay is long enough for the client and the server to become idle.
    await delay(5);
  }
});

t.test(
  "the server's certificate is verified with the given CA, and the client's certificate is presented",
  async (t) => {
    const [own, other] = await Promise.all([selfSigned(t), selfSigned(t)]);
    const server = createTlsServer(
      { ...own, ca: own.cert, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        response.end(request.socket instanceof TLSSocket && request.socket.authorized ? "known" : "unknown");
      },
    );
    const url = `https://127.0.0.1:${await listening(t, server)}/health`;
    t.match(await probes.http(url, { ...options, caPem: own.cert }), { status: 200, body: "unknown" });
    t.match(await probes.http(url, { ...options, caPem: own.cert, certPem: own.cert, keyPem: own.key }), {
      body: "known",
    });
    t.match(await probes.http(url, { ...options, caPem: other.cert }), { status: 0, body: /certificate/ });
    t.match(
      await probes.http(url, options),
      { status: 200 },
      "the server's certificate is not verified if no CA is given",
    );
    const misnamed = url.replace("127.0.0.1", "localhost");
    t.match(await probes.http(misnamed, { ...options, caPem: own.cert }), { status: 0, body: /localhost/ });
    t.match(
      await probes.http(misnamed, { ...options, caPem: own.cert, host: "127.0.0.1" }),
      { status: 0, body: /localhost/ },
      "the certificate is not verified against the Host header",
    );
  },
);
