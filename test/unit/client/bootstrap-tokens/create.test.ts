import t from "tap";
import { createToken } from "../../../../client/bootstrap-tokens/create.ts";
import { newToken, tokenSecret, tokenText } from "../../../../client/bootstrap-tokens/token.ts";
import type { KubernetesApi } from "../../../../proto/kubernetes-api.ts";

const { signal } = new AbortController();
const expires = new Date("2026-01-31T12:00:00.500Z");

/** Records the requests, and answers as the given function does. */
function recorder(answer: (request: string) => number) {
  const requests: string[] = [];
  const api: KubernetesApi = async (method, path) => {
    const request = `${method} ${path.replace(/bootstrap-token-\w+$/, "bootstrap-token-ID")}`;
    requests.push(request);
    return { status: answer(request), body: {} };
  };
  return { api, requests };
}

const created = (request: string): number => (request.startsWith("POST") ? 201 : 200);
const secrets = "/api/v1/namespaces/kube-system/secrets";
const grants = ["kubelet-bootstrap", "kubelet-first-certificate", "kubelet-next-certificate"].map(
  (name) => `PATCH /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/khw:${name}`,
);

t.test("a token has the form that Kubernetes requires, and another value each time", async (t) => {
  const token = newToken(expires);
  t.match(tokenText(token), /^[a-z0-9]{6}\.[a-z0-9]{16}$/);
  t.not(tokenText(newToken(expires)), tokenText(token));
  t.match(tokenSecret(token), {
    type: "bootstrap.kubernetes.io/token",
    metadata: { name: `bootstrap-token-${token.id}`, namespace: "kube-system" },
    stringData: { expiration: "2026-01-31T12:00:00Z", "auth-extra-groups": "system:bootstrappers:khw" },
  });
});

t.test("the rights come first, then the token, which the API server must accept", async (t) => {
  const { api, requests } = recorder(created);
  const asked: string[] = [];
  const token = await createToken(api, {
    expires,
    signal,
    ask: async (text) => {
      asked.push(text);
      return asked.length === 1 ? 401 : 403;
    },
  });
  t.strictSame(requests, [...grants, `POST ${secrets}`]);
  t.strictSame(asked, [tokenText(token), tokenText(token)]);
});

t.test("without the rights, no token is created", async (t) => {
  const { api, requests } = recorder((request) => (request.endsWith("next-certificate") ? 403 : 200));
  await t.rejects(createToken(api, { expires, signal, ask: async () => 403 }), {
    code: "VERIFY_FAILED",
    message: /PATCH .*khw:kubelet-next-certificate with status 403/,
  });
  t.strictSame(requests, grants);
});

t.test("a token that the API server refuses is deleted again", async (t) => {
  const { api, requests } = recorder(created);
  const stop = new AbortController();
  const refused = createToken(api, {
    expires,
    signal: stop.signal,
    ask: async () => {
      stop.abort(new Error("enough"));
      return 401;
    },
  });
  await t.rejects(refused, { message: "enough" });
  t.equal(requests.at(-1), `DELETE ${secrets}/bootstrap-token-ID`);
});

t.test("the error after the deadline names the setting, and contains no token", async (t) => {
  const { api, requests } = recorder(created);
  let now = 0;
  const clock = { monotonic: () => now, delay: async (millis: number) => void (now += millis) };
  const options = { expires, signal, clock, ask: async () => 401 };
  const error = await createToken(api, options).catch((thrown: unknown) => thrown);
  t.equal(now, 10_000);
  t.match(error, { code: "VERIFY_FAILED", message: /\(status 401\)/, hint: /tlsBootstrap: true/ });
  t.notMatch(String(error), /[a-z0-9]{6}\.[a-z0-9]{16}/);
  t.equal(requests.at(-1), `DELETE ${secrets}/bootstrap-token-ID`);
});
