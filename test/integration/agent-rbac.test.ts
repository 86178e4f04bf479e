import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { json } from "node:stream/consumers";
import t, { type Test } from "tap";
import { applyRbac } from "../../agent/rbac.ts";
import { createAuthority, type Identity, issue } from "../../client/pki/management/issue.ts";
import { createKubernetesApi, createKubernetesLines } from "../../proto/kubernetes-api.ts";
import { never } from "../fixtures/machine.ts";

const now = new Date();
const authority = await createAuthority(now);
const ca = Buffer.from(authority.certificate);
const server = await issue(authority, { name: "localhost", role: "agent", days: 1 }, now);
const admin = await issue(authority, { name: "admin", role: "admin", days: 1 }, now);

interface Request {
  readonly method: string;
  readonly url: string;
  readonly caller: string;
  readonly body: unknown;
}

/** Starts an API server that stores the objects applied to it and rejects unknown clients. */
async function startApi(t: Test, answer?: (request: IncomingMessage) => { status: number; body: string } | undefined) {
  const objects = new Map<string, { version: number; text: string }>();
  const requests: Request[] = [];
  const listener = createServer(
    { cert: server.certificate, key: server.key, ca: authority.certificate, requestCert: true },
    (request, response) => {
      const { method = "", url = "", socket } = request;
      const [path = ""] = url.split("?");
      const send = (status: number, body: string): void => void response.writeHead(status).end(body);
      const canned = answer?.(request);
      const respond = async (): Promise<void> => {
        const body: unknown = method === "PATCH" ? await json(request) : undefined;
        const { CN: caller = "" } = peerOf(socket);
        requests.push({ method, url, caller: String(caller), body });
        if (canned !== undefined) return send(canned.status, canned.body);
        const held = objects.get(path);
        if (method === "PATCH") {
          const text = JSON.stringify(body);
          const version = held === undefined ? 1 : held.version + (held.text === text ? 0 : 1);
          objects.set(path, { version, text });
          return send(held === undefined ? 201 : 200, JSON.stringify({ metadata: { resourceVersion: `${version}` } }));
        }
        return held === undefined
          ? send(404, JSON.stringify({ kind: "Status", message: "not found" }))
          : send(
              200,
              JSON.stringify({ metadata: { ...JSON.parse(held.text).metadata, resourceVersion: `${held.version}` } }),
            );
      };
      respond().catch((error: Error) => response.destroy(error));
    },
  ).listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.teardown(() => listener.close());
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `https://localhost:${port}`, requests, objects };
}

function peerOf(socket: IncomingMessage["socket"]): { readonly CN?: string | string[] } {
  return isTls(socket) ? (socket.getPeerCertificate().subject ?? {}) : {};
}

function isTls(socket: object): socket is TLSSocket {
  return "getPeerCertificate" in socket;
}

function apiOf(url: string, identity: Identity = admin, timeoutMillis = 10_000) {
  const { certificate, key } = identity;
  return createKubernetesApi({
    server: url,
    ca,
    certificate: Buffer.from(certificate),
    key: Buffer.from(key),
    timeoutMillis,
  });
}

const names = ["system:kube-apiserver-to-kubelet", "system:kube-apiserver"];

t.test(
  "the lab's RBAC objects are applied only once, with the caller's credentials and server-side apply",
  async (t) => {
    const { url, requests } = await startApi(t);
    t.strictSame(await applyRbac(apiOf(url), never), names);
    t.match(requests, [
      { method: "GET", caller: "admin" },
      {
        method: "PATCH",
        url: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:kube-apiserver-to-kubelet?fieldManager=khw&force=true",
        body: {
          kind: "ClusterRole",
          rules: [{ resources: ["nodes/proxy", "nodes/stats", "nodes/log", "nodes/spec", "nodes/metrics"] }],
        },
      },
      { method: "GET" },
      { method: "PATCH", body: { kind: "ClusterRoleBinding", subjects: [{ kind: "User", name: "kubernetes" }] } },
    ]);
    t.strictSame(await applyRbac(apiOf(url), never), [], "the second run changes nothing");
  },
);

t.test("one ClusterRole limits anonymous requests, and khw undoes this limit only if khw has set it", async (t) => {
  const role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:public-info-viewer";
  const { url, requests, objects } = await startApi(t);
  const api = apiOf(url);
  const body = () => JSON.parse(objects.get(role)?.text ?? "{}");
  await applyRbac(api, never, { limitAnonymous: false });
  t.notOk(objects.has(role), "the default role is not changed");
  t.strictSame(await applyRbac(api, never, { limitAnonymous: true }), ["system:public-info-viewer"]);
  t.match(body(), {
    metadata: { annotations: { "rbac.authorization.kubernetes.io/autoupdate": "false" } },
    rules: [{ nonResourceURLs: ["/healthz", "/livez", "/readyz"], verbs: ["get"] }],
  });
  t.strictSame(await applyRbac(api, never, { limitAnonymous: true }), [], "nothing changes the second time");
  t.strictSame(await applyRbac(api, never), [], "an older client changes nothing");
  t.strictSame(await applyRbac(api, never, { limitAnonymous: false }), ["system:public-info-viewer"]);
  t.strictSame(body().rules, [
    { nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version", "/version/"], verbs: ["get"] },
  ]);
  t.strictSame(body().metadata.annotations, {
    "khw/anonymous-requests": "default",
    "rbac.authorization.kubernetes.io/autoupdate": "true",
  });
  const sent = requests.length;
  t.strictSame(await applyRbac(api, never, { limitAnonymous: false }), []);
  t.strictSame(
    requests.slice(sent).filter(({ method, url }) => method === "PATCH" && url.includes("public-info-viewer")),
    [],
    "a role that khw has not limited is not changed",
  );
});

t.test("a changed RBAC object is repaired and reported", async (t) => {
  const { url, objects } = await startApi(t);
  await applyRbac(apiOf(url), never);
  const [path = ""] = objects.keys();
  objects.set(path, { version: 7, text: "{}" });
  t.strictSame(await applyRbac(apiOf(url), never), names.slice(0, 1));
});

t.test("an error response from the API server is quoted in the error message", async (t) => {
  const body = JSON.stringify({ kind: "Status", message: 'User "bob" cannot patch\u001b[2J' });
  const { url } = await startApi(t, () => ({ status: 403, body }));
  await t.rejects(applyRbac(apiOf(url), never), {
    code: "VERIFY_FAILED",
    message:
      'the API server answered 403 to ClusterRole system:kube-apiserver-to-kubelet: "User \\"bob\\" cannot patch\\u001b[2J"',
    hint: /system:masters/,
  });
  const html = await startApi(t, () => ({ status: 502, body: "<html>" }));
  await t.rejects(applyRbac(apiOf(html.url), never), {
    code: "VERIFY_FAILED",
    message: /answered 502 .*: no message$/,
  });
});

t.test(
  "an API server that is down, has another CA or sends an oversized response is reported as unreachable",
  async (t) => {
    await t.rejects(applyRbac(apiOf("https://127.0.0.1:1"), never), { code: "UNREACHABLE", message: /ECONNREFUSED/ });
    const { url } = await startApi(t);
    const other = await createAuthority(now);
    const strange = createKubernetesApi({ server: url, ca: Buffer.from(other.certificate), timeoutMillis: 10_000 });
    await t.rejects(strange("GET", "/version", { signal: never }), { code: "UNREACHABLE", message: /certificate/ });
    const endless = await startApi(t, () => ({ status: 200, body: "x".repeat(5 * 1024 * 1024) }));
    await t.rejects(apiOf(endless.url)("GET", "/", { signal: never }), {
      code: "UNREACHABLE",
      message: /is longer than/,
    });
    const stopped = AbortSignal.abort();
    await t.rejects(apiOf(url)("GET", "/", { signal: stopped }), { code: "UNREACHABLE" });
  },
);

t.test("a certificate and key that do not match are refused before any request", async (t) => {
  const options = { server: "https://127.0.0.1:1", timeoutMillis: 1000 };
  const [certificate, key] = [Buffer.from(admin.certificate), Buffer.from(server.key)];
  for (const wrong of [key, Buffer.from("no key")]) {
    t.throws(() => createKubernetesApi({ ...options, ca, certificate, key: wrong }), { code: "CREDENTIAL_INVALID" });
  }
});

/** Returns the lines of the server's answer. */
async function linesOf(url: string): Promise<string[]> {
  const { certificate, key } = admin;
  const credentials = { ca, certificate: Buffer.from(certificate), key: Buffer.from(key) };
  const lines = createKubernetesLines({ server: url, ...credentials, timeoutMillis: 120_000 });
  const all: string[] = [];
  for await (const line of lines("/metrics", { signal: never })) all.push(line);
  return all;
}

t.test("a long response is read line by line, and an error response is reported", async (t) => {
  const long = Array.from({ length: 20_000 }, (_, index) => `sample{number="${index}"} 1`);
  const { url } = await startApi(t, () => ({ status: 200, body: `${long.join("\n")}\n` }));
  const found = await linesOf(url);
  t.equal(found.length, long.length);
  t.equal(found.at(-1), long.at(-1));
  const refusing = await startApi(t, () => ({ status: 403, body: "no" }));
  await t.rejects(linesOf(refusing.url), {
    code: "VERIFY_FAILED",
    message: "the API server answers 403 to GET /metrics",
  });
});

t.test("a truncated response is reported as an error", async (t) => {
  const listener = createServer({ cert: server.certificate, key: server.key }, (_, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("half 1\n", () => response.destroy());
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.teardown(() => listener.close());
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  await t.rejects(linesOf(`https://localhost:${port}`), { code: "UNREACHABLE", message: /does not answer: aborted/ });
});
