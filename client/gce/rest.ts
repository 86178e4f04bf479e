import { randomUUID } from "node:crypto";
import type { Body, Compute, PoolChange } from "./compute.ts";
import { defaultEndpoint } from "./config.ts";
import type { Credentials } from "./credentials.ts";
import { type Fields, isFields, objects, textField } from "./fields.ts";
import { type ApiRequest, openHttp } from "./http.ts";
import { awaitOperation } from "./operations.ts";
import type { Reference } from "./references.ts";
import { refusedBecause } from "./refusal.ts";
import { type Kind, readers, readHealth } from "./resources.ts";
import { defaultRetry, type RetryPolicy } from "./retry.ts";

export interface RestOptions {
  /** The base URL, including the version. */
  readonly endpoint?: string;
  readonly credentials: Credentials;
  readonly retry?: RetryPolicy;
  /** The time limit for an operation; five minutes by default. */
  readonly operationMillis?: number;
}

/** Opens the real Compute Engine API. Disposing of the returned object closes its connections. */
export function restCompute(options: RestOptions): Compute & AsyncDisposable {
  const { endpoint = defaultEndpoint, credentials, retry = defaultRetry, operationMillis = 300_000 } = options;
  const http = openHttp({ endpoint, credentials, retry });

  /** Sends a change with a unique id that is the same for all attempts, so that Google makes the change only once. */
  async function mutate(request: Omit<ApiRequest, "query">, signal: AbortSignal): Promise<void> {
    const operation = await http.send({ ...request, query: { requestId: randomUUID() } }, signal);
    const { what, path } = request;
    await awaitOperation(http, operation, { what, path, deadlineMillis: operationMillis, signal });
  }

  return {
    async get(reference, signal) {
      try {
        const { path } = reference;
        return readers[reference.kind](
          await http.send({ method: "GET", path, what: phrase("get", reference) }, signal),
        );
      } catch (error) {
        if (refusedBecause(error, "notFound") && !isProjectMissing(error)) return undefined;
        throw error;
      }
    },

    async insert<K extends Kind>(reference: Reference<K>, body: Body<K>, signal: AbortSignal) {
      const path = reference.path.slice(0, reference.path.lastIndexOf("/"));
      const named = { name: reference.name, ...body };
      await mutate({ method: "POST", path, body: named, what: phrase("insert", reference) }, signal);
    },

    async patch(reference, body, signal) {
      const named = { name: reference.name, ...body };
      await mutate({ method: "PATCH", path: reference.path, body: named, what: phrase("patch", reference) }, signal);
    },

    async delete(reference, signal) {
      await mutate({ method: "DELETE", path: reference.path, what: phrase("delete", reference) }, signal);
    },

    async changePool(pool, change, signal) {
      const path = `${pool.path}/${change.verb}`;
      await mutate({ method: "POST", path, body: poolBody(change), what: phrase(change.verb, pool) }, signal);
    },

    async setMetadata(instance, metadata, signal) {
      const path = `${instance.path}/setMetadata`;
      await mutate({ method: "POST", path, body: metadata, what: phrase("setMetadata", instance) }, signal);
    },

    async health(pool, instance, signal) {
      const path = `${pool.path}/getHealth`;
      const what = phrase("getHealth", pool);
      return readHealth(await http.send({ method: "POST", path, body: { instance }, what }, signal));
    },

    async instancesNamed(project, name, signal) {
      const path = `projects/${project}/aggregated/instances`;
      const found: Fields[] = [];
      let pageToken = "";
      do {
        const query = { filter: `name = ${name}`, ...(pageToken === "" ? {} : { pageToken }) };
        const page = await http.send({ method: "GET", path, query, what: `list instances/${name}` }, signal);
        const scopes = isFields(page["items"]) ? Object.values(page["items"]).filter(isFields) : [];
        found.push(...scopes.flatMap((scope) => objects(scope, "instances")));
        pageToken = textField(page, "nextPageToken");
      } while (pageToken !== "");
      return found.map(readers.instances);
    },

    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

function phrase(verb: string, { kind, name }: Reference): string {
  return `${verb} ${kind}/${name}`;
}

function poolBody(change: PoolChange): object {
  return "instances" in change
    ? { instances: change.instances.map((instance) => ({ instance })) }
    : { healthChecks: [{ healthCheck: change.healthCheck }] };
}

/** Whether the error means that the project does not exist. In that case, no resource can be created in the project. */
function isProjectMissing(error: unknown): boolean {
  return error instanceof Error && /Failed to find project|'projects\/[^/']+'/.test(error.message);
}
