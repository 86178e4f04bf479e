import { timingSafeEqual } from "node:crypto";
import { makeApi, type ApiContext, type ApiRequest } from "./api.ts";
import { makeIds } from "./clock.ts";
import { completeResource } from "./complete.ts";
import type { LogEntry, Settings, StateChange } from "./control.ts";
import { kindOf, loadDiscovery } from "./discovery.ts";
import { ApiError } from "./errors.ts";
import { Faults } from "./faults.ts";
import { initialResources, projectResource, type InitialOptions } from "./initial.ts";
import { Operations } from "./operations.ts";
import { view } from "./reads.ts";
import type { Fields } from "./resources.ts";
import { Store } from "./store.ts";

/** The initial options of an emulator. */
export interface EmulatorOptions extends InitialOptions {
  readonly staticAddress: string;
}

/** A request as received. */
export interface IncomingRequest extends ApiRequest {
  readonly authorization: string | undefined;
}

/** A response, or undefined if the connection must be cut. */
export type Outgoing =
  | { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: object }
  | "cut";

/**
 * The emulated project without its HTTP server and data plane. It stores resources and faults, and answers requests.
 */
export interface Emulator {
  readonly store: Store;
  readonly faults: Faults;
  readonly operations: Operations;
  readonly log: LogEntry[];
  /** Returns every resource by path, as the API would return it. */
  state(): Readonly<Record<string, Fields>>;
  /**
   * Changes resources without using the API. If a step of the change is rejected, the earlier steps remain in effect.
   */
  change(change: StateChange): void;
  configure(settings: Partial<Settings>): Settings;
  /** Sets the function that provides the health of instances. Before this call, no instance has a health state. */
  observe(healthOf: HealthOf): void;
  answer(request: IncomingRequest): Promise<Outgoing>;
}

/** The function through which the data plane reports health to the API. */
export type HealthOf = ApiContext["healthOf"];

/** Creates an emulator in its initial state. */
export function createEmulator(options: EmulatorOptions): Emulator {
  const nextId = makeIds();
  const store = new Store();
  const faults = new Faults();
  const operations = new Operations(nextId);
  const log: LogEntry[] = [];
  const discovery = loadDiscovery();
  const api = makeApi(discovery);
  let healthOf: HealthOf = () => [];
  let settings: Settings = { operationMillis: 50, settleMillis: 0, token: null };

  const context = (): ApiContext => ({
    store,
    faults,
    operations,
    nextId,
    healthOf,
    project: options.project,
    staticAddress: options.staticAddress,
    operationMillis: settings.operationMillis,
    settleMillis: settings.settleMillis,
    kindOf: (collection) => kindOf(discovery, collection),
    isPending: (path) => operations.isInserting(path),
  });

  const put = (path: string, fields: Fields): void =>
    store.set(path, completeResource(path, { ...store.get(path), ...fields }, context()));

  const reset = (): void => {
    operations.clear();
    store.clear();
    store.set(`projects/${options.project}`, projectResource(options.project));
    for (const [path, fields] of Object.entries(initialResources(options))) put(path, fields);
  };

  const carryOut = async (request: IncomingRequest): Promise<Outgoing> => {
    const { method, path } = request;
    if (!isAuthorized(request.authorization, settings.token)) return unauthorized();
    const fault = faults.take("error", method, path);
    if (fault) {
      const { status, reason, message = `Injected: ${reason}`, retryAfterSec } = fault;
      const headers = retryAfterSec === undefined ? {} : { "retry-after": String(retryAfterSec) };
      return { status, headers, body: new ApiError(status, reason, message).toBody() };
    }
    try {
      return { status: 200, headers: {}, body: await api(request, context()) };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { status: error.status, headers: {}, body: error.toBody() };
    }
  };

  reset();
  return {
    store,
    faults,
    operations,
    log,
    state: () => Object.fromEntries(store.entries().map(([path, resource]) => [path, view(path, resource, store)])),
    change: ({ reset: fresh = false, put: puts = {}, remove = [] }) => {
      if (fresh) reset();
      for (const path of remove) store.delete(path);
      for (const [path, fields] of Object.entries(puts)) put(path, fields);
    },
    observe: (health) => {
      healthOf = health;
    },
    configure: (change) => (settings = { ...settings, ...change }),
    answer: async (request) => {
      const { method, path, query, body } = request;
      const cut = faults.take("cut", method, path)?.when;
      const outgoing = cut === "before" ? "cut" : await carryOut(request);
      log.push({
        at: new Date().toISOString(),
        method,
        path,
        query: Object.fromEntries(query),
        body,
        status: outgoing === "cut" || cut === "after" ? "cut" : outgoing.status,
      });
      return cut === undefined ? outgoing : "cut";
    },
  };
}

function isAuthorized(authorization: string | undefined, token: string | null): boolean {
  if (token === null) return true;
  const [given, wanted] = [Buffer.from(authorization ?? ""), Buffer.from(`Bearer ${token}`)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function unauthorized(): Outgoing {
  const message = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
  const detail = { message: "Invalid Credentials", domain: "global", reason: "authError", location: "Authorization" };
  return {
    status: 401,
    headers: { "www-authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"' },
    body: { error: { code: 401, message, errors: [detail], status: "UNAUTHENTICATED" } },
  };
}
