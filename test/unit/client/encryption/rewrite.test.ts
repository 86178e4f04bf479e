import t from "tap";

import type { MetadataAnswer, MetadataApi } from "../../../../client/encryption/metadata-api.ts";
import { findResources } from "../../../../client/encryption/resources.ts";
import { rewrite } from "../../../../client/encryption/rewrite.ts";
import { KhwError } from "../../../../proto/errors.ts";

const never = new AbortController().signal;
const options = { signal: never, progress: () => {}, atOnce: 3 };
const secrets = { name: "secrets", base: "/api/v1", plural: "secrets" };

/** Creates a fake API that lists Secrets in pages of two, and answers other requests by path. */
function fakeApi(
  names: readonly string[],
  touch: (path: string) => number = () => 200,
  paths: Record<string, unknown> = {},
) {
  const touched: string[] = [];
  const api: MetadataApi = {
    get: async (path): Promise<MetadataAnswer> => {
      const url = new URL(path, "https://localhost");
      if (url.pathname !== "/api/v1/secrets") {
        const body = paths[url.pathname];
        return body === undefined ? { status: 404, body: {} } : { status: 200, body };
      }
      const from = Number(url.searchParams.get("continue") ?? 0);
      const page = names.slice(from, from + 2);
      const next = from + 2 < names.length ? { continue: String(from + 2) } : {};
      const items = page.map((name) => ({ metadata: { name, namespace: "default" } }));
      return { status: 200, body: { metadata: next, items } };
    },
    touch: async (path) => {
      touched.push(path);
      const status = touch(path);
      if (status === 0) throw new KhwError("UNREACHABLE", "cut off");
      return { status, body: { message: "because" } };
    },
    [Symbol.asyncDispose]: async () => {},
  };
  return { api, touched };
}

t.test("every object of every page is written once", async (t) => {
  const { api, touched } = fakeApi(["a", "b", "c", "d", "e"]);
  t.equal(await rewrite(api, secrets, options), 5);
  t.strictSame(
    touched.toSorted(),
    ["a", "b", "c", "d", "e"].map((name) => `/api/v1/namespaces/default/secrets/${name}`),
  );
});

t.test(
  "an object that was deleted in the meantime is skipped, and a conflict or a broken connection is retried",
  async (t) => {
    const answers = [404, 409, 0, 200];
    const { api, touched } = fakeApi(["a", "b"], () => answers.shift() ?? 200);
    t.equal(await rewrite(api, secrets, { ...options, atOnce: 1 }), 2);
    t.equal(touched.length, 4);
  },
);

t.test("an object that cannot be written is reported by name, and the other objects are written", async (t) => {
  const { api, touched } = fakeApi(["a", "b", "c"], (path) => (path.endsWith("/b") ? 403 : 200));
  await t.rejects(rewrite(api, secrets, options), {
    code: "VERIFY_FAILED",
    message: /^1 of 3 secrets could not be rewritten:\n  \/api\/v1\/namespaces\/default\/secrets\/b: 403 because$/,
  });
  t.equal(touched.length, 3);
});

t.test("resources are matched by the names that the API uses, either exactly or by wildcard", async (t) => {
  const verbs = ["list", "patch"];
  const { api } = fakeApi([], () => 200, {
    "/api/v1": {
      resources: [
        { name: "secrets", verbs },
        { name: "secrets/status", verbs },
        { name: "componentstatuses", verbs: ["list"] },
        { name: "configmaps", verbs },
      ],
    },
    "/apis": {
      groups: [
        { name: "example.com", preferredVersion: { groupVersion: "example.com/v1" } },
        { name: "apps", preferredVersion: { groupVersion: "apps/v1" } },
      ],
    },
    "/apis/example.com/v1": { resources: [{ name: "widgets", verbs }] },
    "/apis/apps/v1": { resources: [{ name: "deployments", verbs }] },
  });
  const found = async (...names: string[]) =>
    (await findResources(api, names, never)).map(({ name, base }) => `${base} ${name}`);
  t.strictSame(await found("secrets", "widgets.example.com", "gone.example.org", "secrets"), [
    "/api/v1 secrets",
    "/apis/example.com/v1 widgets.example.com",
  ]);
  t.strictSame(await found("*."), ["/api/v1 secrets", "/api/v1 configmaps"]);
  t.strictSame(await found("*.apps"), ["/apis/apps/v1 deployments.apps"]);
  t.strictSame((await found("*.*")).length, 4);
});
