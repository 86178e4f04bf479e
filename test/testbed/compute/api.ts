import { checkValue } from "./check.ts";
import { makeRouter, type Discovery, type Route } from "./discovery.ts";
import { ApiError, invalid, notEmulated, notFound, unknownName, violationError } from "./errors.ts";
import type { Faults } from "./faults.ts";
import { mutationOf, type MutationContext } from "./mutations.ts";
import { aggregatedListOf, itemsOf, listOf, view, type ListQuery } from "./reads.ts";
import { parseReference, pathOf } from "./references.ts";
import { textOf, textsOf, type Fields } from "./resources.ts";

/** A request. Its path starts at `projects/`. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  /** The signal that aborts when the caller disconnects. */
  readonly signal: AbortSignal;
}

/** The data and settings that the API reads. */
export interface ApiContext extends MutationContext {
  readonly faults: Faults;
  /** Milliseconds between a mutation and the DONE status of its operation. */
  readonly operationMillis: number;
  /** Returns the health of an instance in a pool, with an entry for each forwarding rule that uses the pool. */
  readonly healthOf: (poolPath: string, instancePath: string) => readonly Fields[];
}

/** Google's documentation: "wait [...] waits for no more than the 2 minutes". */
const waitMillis = 120_000;

type Handler = (request: ApiRequest, route: Route, context: ApiContext) => Fields | Promise<Fields>;

/** The read-only verbs. Every other verb is a mutation. */
const reads: Readonly<Record<string, Handler>> = {
  get: ({ path }, { collection }, context) =>
    collection.endsWith("Operations") ? operation(path, context) : resource(path, context),
  list: ({ path, query }, { collection }, { store, operations }) => {
    const scope = path.slice(0, path.lastIndexOf("/"));
    const items = collection.endsWith("Operations") ? operations.list(scope) : itemsOf(path, store);
    return listOf(items, path, listQuery(query));
  },
  aggregatedList: ({ query }, { collection }, { store, project }) =>
    aggregatedListOf(collection, project, store, listQuery(query)),
  wait: async ({ method, path, signal }, _route, context) => {
    const operationPath = path.replace(/\/wait$/, "");
    if (context.faults.take("earlyWait", method, path)) return operation(operationPath, context);
    await context.operations.wait(operationPath, waitMillis, signal);
    return operation(operationPath, context);
  },
  getHealth: ({ path, body }, _route, context) => {
    const poolPath = path.replace(/\/getHealth$/, "");
    const { instance } = parseBody(body);
    const instancePath = parseReference(textOf(instance ?? ""), context.project, "instance");
    if (!textsOf(resource(poolPath, context).instances).map(pathOf).includes(instancePath))
      throw invalid("instance", instance, "It is not a member of the target pool.");
    const healthStatus = context.healthOf(poolPath, instancePath);
    return healthStatus.length > 0 ? { healthStatus } : {};
  },
};

/**
 * Creates the API. It is a function that takes a request and returns the response body. To reject a request, it throws
 * an {@link ApiError}.
 */
export function makeApi(discovery: Discovery): (request: ApiRequest, context: ApiContext) => Promise<Fields> {
  const router = makeRouter(discovery);

  const checkRequest = ({ query, body }: ApiRequest, { method, params }: Route, project: string): void => {
    if (params.project !== project) throw notFound(`projects/${params.project}`);
    for (const name of query.keys()) {
      if (!(name in method.parameters) && !(name in discovery.parameters))
        throw unknownName(name, "Cannot bind query parameter.");
    }
    if (!method.request) return;
    const [violation] = checkValue(parseBody(body), method.request, { discovery, methodId: method.id });
    if (violation) throw violationError(violation);
  };

  const checkAnswer = (answer: Fields, { method }: Route): Fields => {
    const kind = discovery.schemas[method.response?.$ref ?? ""]?.properties?.kind?.default;
    const whole = { ...(kind !== undefined && { kind }), ...answer };
    const violations = checkValue(whole, method.response ?? {}, { discovery });
    if (violations.length > 0)
      throw new Error(`${method.id} would return an answer that the schema forbids: ${JSON.stringify(violations)}`);
    return whole;
  };

  const mutate: Handler = (request, { collection, verb }, context) => {
    const { method, path, query, body } = request;
    const requestId = checkedRequestId(query);
    const whole = `${method} ${path} ${body}`;
    const earlier = requestId === undefined ? undefined : context.operations.repeated(requestId, whole);
    if (earlier) return earlier;
    const target = path.endsWith(`/${verb}`) ? path.slice(0, -verb.length - 1) : path;
    const mutation = mutationOf(collection, { verb, path: target, body: parseBody(body) }, context);
    const failure = context.faults.take("operation", method, path);
    const millis = context.faults.take("slow", method, path)?.millis ?? context.operationMillis;
    const started = context.operations.start(mutation, { millis, ...(failure && { failure }) });
    if (requestId !== undefined) context.operations.remember(requestId, whole, started);
    return started;
  };

  return async (request, context) => {
    const route = router(request.method, request.path);
    if (!route) throw notEmulated(`${request.method} ${request.path}`);
    checkRequest(request, route, context.project);
    const handler = Object.hasOwn(reads, route.verb) ? reads[route.verb] : undefined;
    return checkAnswer(await (handler ?? mutate)(request, route, context), route);
  };
}

function resource(path: string, { store }: ApiContext): Fields {
  const found = store.get(path);
  if (!found) throw notFound(path);
  return view(path, found, store);
}

function operation(path: string, { operations }: ApiContext): Fields {
  const found = operations.get(path);
  if (!found) throw notFound(path);
  return found;
}

function listQuery(query: URLSearchParams): ListQuery {
  const [filter, pageToken] = [query.get("filter"), query.get("pageToken")];
  return {
    ...(filter !== null && { filter }),
    ...(pageToken !== null && { pageToken }),
    maxResults: Number(query.get("maxResults") ?? 500),
  };
}

function parseBody(body: string): Fields {
  try {
    const fields: Fields = body === "" ? {} : JSON.parse(body);
    return fields;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new ApiError(400, "parseError", "Parse Error");
  }
}

/** Google's documentation: a request id "must be a valid UUID with the exception that zero UUID is not supported". */
function checkedRequestId(query: URLSearchParams): string | undefined {
  const id = query.get("requestId") ?? undefined;
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id ?? "") && !/^[0-]+$/.test(id ?? "");
  if (id !== undefined && !isUuid) throw invalid("requestId", id, "Must be a UUID that is not zero.");
  return id;
}
