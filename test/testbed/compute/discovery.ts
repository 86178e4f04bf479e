import { readFileSync } from "node:fs";

/** A type as described in Google's discovery documents. The format is similar to JSON Schema, draft 3. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  /** The only valid value of a `kind` field. */
  readonly default?: string;
  readonly readOnly?: boolean;
  readonly required?: boolean;
  readonly location?: "path" | "query";
  readonly annotations?: { readonly required?: readonly string[] };
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
}

/** A method of the API, for example `compute.targetPools.addInstance`. */
export interface Method {
  readonly id: string;
  readonly httpMethod: string;
  readonly path: string;
  readonly parameters: Readonly<Record<string, Schema>>;
  readonly request?: Schema;
  readonly response?: Schema;
}

/**
 * Google's description of the API (schema.json), reduced to the emulated part. It is used for routing and for type
 * checks.
 */
export interface Discovery {
  readonly parameters: Readonly<Record<string, Schema>>;
  readonly resources: Readonly<Record<string, { readonly methods: Readonly<Record<string, Method>> }>>;
  readonly schemas: Readonly<Record<string, Schema>>;
}

/** The API method that a request calls, and the values of the placeholders in the request's path. */
export interface Route {
  readonly method: Method;
  readonly collection: string;
  readonly verb: string;
  readonly params: Readonly<Record<string, string>>;
}

/** Finds the API method for the HTTP method and the path of a request. The path starts at `projects/`. */
export type Router = (httpMethod: string, path: string) => Route | undefined;

/** Reads the discovery document in this file's folder. */
export function loadDiscovery(): Discovery {
  const discovery: Discovery = JSON.parse(readFileSync(new URL("./schema.json", import.meta.url), "utf8"));
  return discovery;
}

/** Creates the router for all methods in the document. */
export function makeRouter(discovery: Discovery): Router {
  const entries = Object.entries(discovery.resources).flatMap(([collection, { methods }]) =>
    Object.entries(methods).map(([verb, method]) => ({
      collection,
      verb,
      method,
      pattern: new RegExp(`^${method.path.replace(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`),
    })),
  );
  return (httpMethod, path) => {
    for (const { pattern, method, collection, verb } of entries) {
      const match = method.httpMethod === httpMethod ? pattern.exec(path) : null;
      if (match) return { method, collection, verb, params: { ...match.groups } };
    }
    return undefined;
  };
}

/** Returns the `kind` of a collection's resources: `compute#address` for `addresses`. */
export function kindOf(discovery: Discovery, collection: string): string {
  const schema = discovery.resources[collection]?.methods.get?.response?.$ref ?? "";
  const kind = discovery.schemas[schema]?.properties?.kind?.default;
  if (kind === undefined) throw new Error(`schema.json: ${collection} has no kind`);
  return kind;
}
