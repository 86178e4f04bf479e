import t from "tap";
import { createToken } from "../../../../client/bootstrap-tokens/create.ts";
import { newToken, tokenSecret, tokenText } from "../../../../client/bootstrap-tokens/token.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { KubernetesApi } from "../../../../proto/kubernetes-api.ts";

const { signal } = new AbortController();
const expires = new Date("2026-01-31T12:00:00.500Z");
const deliver = async (): Promise<void> => {};
const remove = "DELETE /api/v1/namespaces/kube-system/secrets/bootstrap-token-ID";

/** Creates a fake API that records its requests. The given function determines the response status. */
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

t.test("a token has the format that Kubernetes requires and a new value each time", async (t) => {
  const token = newToken(expires);
  t.match(tokenText(token), /^[a-z0-9]{6}\.[a-z0-9]{16}$/);
  t.not(tokenText(newToken(expires)), tokenText(token));
  t.match(tokenSecret(token), {
    type: "bootstrap.kubernetes.io/token",
    metadata: { name: `bootstrap-token-${token.id}`, namespace: "kube-system" },
    stringData: { expiration: "2026-01-31T12:00:00Z", "auth-extra-groups": "system:bootstrappers:khw" },
  });
});

t.test("the rights are granted after the API server accepts the token, and then the user gets the token", async (t) => {
  const { api, requests } = recorder(created);
  const asked: string[] = [];
  const delivered: string[] = [];
  await createToken(api, {
    expires,
    signal,
    ask: async (text) => {
      asked.push(text);
      requests.push("ask");
      return asked.length === 1 ? 401 : 403;
    },
    deliver: async (token) => {
      delivered.push(tokenText(token));
      requests.push("deliver");
    },
  });
  t.strictSame(requests, [`POST ${secrets}`, "ask", "ask", ...grants, "deliver"]);
  t.strictSame(
    [...asked, ...delivered],
    Array.from({ length: 3 }, () => asked[0]),
  );
});

t.test("if the rights cannot be granted, the token is deleted and the user does not get the token", async (t) => {
  const { api, requests } = recorder((request) => (request.endsWith("next-certificate") ? 403 : created(request)));
  const delivered: string[] = [];
  const refused = createToken(api, {
    expires,
    signal,
    ask: async () => 403,
    deliver: async (token) => void delivered.push(token.id),
  });
  await t.rejects(refused, {
    code: "VERIFY_FAILED",
    message: /PATCH .*khw:kubelet-next-certificate with status 403/,
  });
  t.strictSame(requests, [`POST ${secrets}`, ...grants, remove]);
  t.strictSame(delivered, []);
});

t.test("a token that cannot be delivered is deleted", async (t) => {
  const { api, requests } = recorder(created);
  const failing = async (): Promise<void> => {
    throw new KhwError("IO_FAILED", "the disk is full");
  };
  const refused = createToken(api, { expires, signal, ask: async () => 403, deliver: failing });
  await t.rejects(refused, { code: "IO_FAILED", message: "the disk is full" });
  t.strictSame(requests, [`POST ${secrets}`, ...grants, remove]);
});

t.test("a token is deleted if the response to the request that creates it does not arrive", async (t) => {
  const { api, requests } = recorder((request) => {
    if (request.startsWith("POST")) throw new KhwError("UNREACHABLE", "no answer");
    return 200;
  });
  await t.rejects(createToken(api, { expires, signal, ask: async () => 403, deliver }), { code: "UNREACHABLE" });
  t.strictSame(requests, [`POST ${secrets}`, remove]);
});

t.test("the Secret of another token with the same name is not deleted", async (t) => {
  const { api, requests } = recorder(() => 409);
  await t.rejects(createToken(api, { expires, signal, ask: async () => 403, deliver }), { message: /status 409/ });
  t.strictSame(requests, [`POST ${secrets}`]);
});

t.test("a new token is deleted if the API server refuses it", async (t) => {
  const { api, requests } = recorder(created);
  const stop = new AbortController();
  const refused = createToken(api, {
    expires,
    signal: stop.signal,
    ask: async () => {
      stop.abort(new Error("enough"));
      return 401;
    },
    deliver,
  });
  await t.rejects(refused, { message: "enough" });
  t.strictSame(requests, [`POST ${secrets}`, remove], "the token is deleted and no right is granted");
});

t.test("the error after the deadline names the remedy, and contains no token", async (t) => {
  const { api, requests } = recorder(created);
  let now = 0;
  const clock = { monotonic: () => now, delay: async (millis: number) => void (now += millis) };
  const options = { expires, signal, clock, ask: async () => 401, deliver };
  const error = await createToken(api, options).catch((thrown: unknown) => thrown);
  t.equal(now, 10_000);
  t.match(error, { code: "VERIFY_FAILED", message: /\(status 401\)/, hint: /run khw-client bootstrap/ });
  t.notMatch(String(error), /[a-z0-9]{6}\.[a-z0-9]{16}/);
  t.strictSame(requests, [`POST ${secrets}`, remove], "the token is deleted and no right is granted");
});
