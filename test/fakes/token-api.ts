import { createPrivateKey } from "node:crypto";
import { CompactSign } from "jose";
import { fieldOf, textAt } from "../../client/pki/check/yaml.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";

/** An object of the Kubernetes API. */
export type ApiObject = Readonly<Record<string, unknown>> & { readonly metadata: Readonly<Record<string, unknown>> };

/** An in-memory API server and a controller manager that adds tokens to new Secrets. */
export interface TokenApi {
  readonly api: KubernetesApi;
  /** The objects by path, for example "/api/v1/namespaces/default/secrets/a". */
  readonly objects: Map<string, ApiObject>;
  /** The requests that change objects, for example "PUT /api/v1/...". */
  readonly changes: string[];
  /** The number of updates to refuse with a conflict. */
  conflicts: number;
  /** The private key that signs the tokens. */
  signingKey: string;
}

/** Signs a token as Kubernetes does. */
export async function signToken(key: string, claims: object = {}): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "ES256" })
    .sign(createPrivateKey(key));
}

export function encodeToken(token: string): { readonly token: string } {
  return { token: Buffer.from(token).toString("base64") };
}

export function tokenApi(signingKey: string): TokenApi {
  const objects = new Map<string, ApiObject>();
  const server: TokenApi = {
    objects,
    changes: [],
    conflicts: 0,
    signingKey,
    api: async (method, target, { body }) => {
      const { pathname } = new URL(target, "https://127.0.0.1");
      if (method !== "GET") server.changes.push(`${method} ${pathname}`);
      switch (method) {
        case "GET": {
          const one = objects.get(pathname);
          if (one !== undefined) return { status: 200, body: one };
          const kind = /^\/api\/v1\/(pods|secrets)$/.exec(pathname)?.[1];
          if (kind === undefined) return { status: 404, body: {} };
          const items = [...objects].filter(([path]) => path.includes(`/${kind}/`)).map(([, object]) => object);
          return { status: 200, body: { items, metadata: {} } };
        }
        case "POST": {
          if (pathname.endsWith("/token")) {
            const token = await signToken(server.signingKey, { iat: 1_769_860_800, sub: pathname });
            return { status: 201, body: { status: { token } } };
          }
          const metadata = fieldOf(body, "metadata");
          const path = `${pathname}/${textAt(metadata, "name")}`;
          if (objects.has(path)) return { status: 409, body: {} };
          const namespace = pathname.split("/")[4] ?? "";
          const data = encodeToken(await signToken(server.signingKey));
          objects.set(path, { metadata: { ...Object(metadata), namespace }, data });
          return { status: 201, body: {} };
        }
        case "PUT":
          if (server.conflicts > 0) {
            server.conflicts -= 1;
            return { status: 409, body: {} };
          }
          objects.set(pathname, { ...Object(body), metadata: Object(fieldOf(body, "metadata")) });
          return { status: 200, body: {} };
        case "DELETE":
          return { status: objects.delete(pathname) ? 200 : 404, body: {} };
        case "PATCH":
          return { status: 405, body: {} };
      }
    },
  };
  return server;
}
