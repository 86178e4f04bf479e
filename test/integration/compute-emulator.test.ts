import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { checkValue } from "../testbed/compute/check.ts";
import { loadDiscovery } from "../testbed/compute/discovery.ts";
import { startCompute, type Compute, type ComputeOptions } from "../testbed/compute/start.ts";

/** The prefix of a loopback network that no other test process uses. */
const network = `127.${100 + (process.pid % 100)}.${(process.pid >> 7) % 250}`;
const names = ["controller-0", "controller-1", "controller-2"];
const project = "projects/khw-testbed";
const region = `${project}/regions/us-west1`;
const link = (path: string) => `https://www.googleapis.com/compute/v1/${path}`;
const instance = (name: string) => `${project}/zones/us-west1-c/instances/${name}`;
const checkPath = `${project}/global/httpHealthChecks/kubernetes`;
const firewallPath = `${project}/global/firewalls/kubernetes-the-hard-way-allow-health-check`;
const poolPath = `${region}/targetPools/kubernetes-target-pool`;
const rulePath = `${region}/forwardingRules/kubernetes-forwarding-rule`;
const addressPath = `${region}/addresses/kubernetes-the-hard-way`;

// The fields of Compute API responses that the tests inspect.
type Answer = { readonly [field: string]: any }; // oxlint-disable-line typescript/no-explicit-any

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Answer;
}

interface Lab {
  readonly compute: Compute;
  readonly call: (method: string, path: string, body?: object) => Promise<Reply>;
  /** Requests a mutation and waits until its operation ends. */
  readonly done: (method: string, path: string, body?: object) => Promise<Answer>;
}

async function start(t: Test, options: Partial<ComputeOptions> = {}): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), "compute-"));
  const compute = await startCompute({
    listen: `${network}.1:8090`,
    socket: join(folder, "control.sock"),
    address: `${network}.50`,
    instances: names.map((name, index) => `${name}=${network}.${10 + index}`),
    probeScale: 50,
    ...options,
  });
  t.teardown(async () => {
    await compute[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const call: Lab["call"] = async (method, path, body) => {
    const answer = await fetch(compute.url + path, { method, ...(body && { body: JSON.stringify(body) }) });
    const parsed: Answer = JSON.parse(await answer.text());
    return { status: answer.status, headers: answer.headers, body: parsed };
  };
  const done: Lab["done"] = async (method, path, body) => {
    const { status, body: operation } = await call(method, path, body);
    if (status !== 200) throw new Error(`${method} ${path}: ${JSON.stringify(operation)}`);
    return (await call("POST", `${pathOf(operation.selfLink)}/wait`)).body;
  };
  return { compute, call, done };
}

const pathOf = (selfLink: string) => selfLink.slice(selfLink.indexOf("projects/"));

/** Creates the lab's load balancer through the REST API. The health check uses an unprivileged port. */
async function makeLoadBalancer({ done }: Lab): Promise<void> {
  await done("POST", `${project}/global/httpHealthChecks`, { name: "kubernetes", requestPath: "/healthz", port: 8081 });
  await done("POST", `${project}/global/firewalls`, {
    name: "kubernetes-the-hard-way-allow-health-check",
    network: "global/networks/kubernetes-the-hard-way",
    sourceRanges: ["209.85.152.0/22", "209.85.204.0/22", "35.191.0.0/16"],
    allowed: [{ IPProtocol: "tcp" }],
  });
  await done("POST", `${region}/targetPools`, { name: "kubernetes-target-pool", healthChecks: [link(checkPath)] });
  await done("POST", `${poolPath}/addInstance`, {
    instances: names.map((name) => ({ instance: link(instance(name)) })),
  });
  await done("POST", `${region}/forwardingRules`, {
    name: "kubernetes-forwarding-rule",
    IPAddress: "kubernetes-the-hard-way",
    portRange: "6443",
    target: link(poolPath),
  });
}

/**
 * Waits until the condition is true. If the deadline passes first, throws an error that contains the last value.
 */
async function eventually<T>(look: () => Promise<T>, wanted: (seen: T) => boolean): Promise<T> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const seen = await look();
    if (wanted(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`Last seen: ${JSON.stringify(seen)}`);
    await delay(20);
  }
}

t.test("every resource can be inserted, read and deleted, and has the fields that Google adds", async (t) => {
  const lab = await start(t);
  await makeLoadBalancer(lab);
  const read = async (path: string) => (await lab.call("GET", path)).body;

  t.match(await read(checkPath), {
    kind: "compute#httpHealthCheck",
    checkIntervalSec: 5,
    healthyThreshold: 2,
    host: "",
  });
  t.match(await read(firewallPath), {
    kind: "compute#firewall",
    network: link(`${project}/global/networks/kubernetes-the-hard-way`),
    direction: "INGRESS",
    priority: 1000,
    disabled: false,
  });
  t.match(await read(poolPath), {
    kind: "compute#targetPool",
    region: link(region),
    sessionAffinity: "NONE",
    healthChecks: [link(checkPath)],
    instances: names.map((name) => link(instance(name))),
  });
  t.match(await read(rulePath), {
    kind: "compute#forwardingRule",
    IPAddress: `${network}.50`,
    IPProtocol: "TCP",
    portRange: "6443-6443",
    loadBalancingScheme: "EXTERNAL",
    target: link(poolPath),
    fingerprint: /^[A-Za-z0-9+/]{11}=$/,
    selfLink: link(rulePath),
    id: /^\d+$/,
    creationTimestamp: /^\d{4}-\d\d-\d\dT/,
  });
  t.match(await read(addressPath), { kind: "compute#address", status: "IN_USE", users: [link(rulePath)] });

  for (const path of [rulePath, poolPath, firewallPath, checkPath, addressPath]) {
    t.match(await lab.done("DELETE", path), { status: "DONE", operationType: "delete", progress: 100 });
    t.equal((await lab.call("GET", path)).status, 404, path);
  }
  t.equal(await lab.compute.control.mutations(), 10);
});

t.test("list and aggregatedList support filters and pages", async (t) => {
  const { call } = await start(t);
  const list = async (query: string) => (await call("GET", `${project}/zones/us-west1-c/instances${query}`)).body;
  const filtered = async (filter: string) =>
    ((await list(`?filter=${encodeURIComponent(filter)}`)).items ?? []).map(({ name }: Answer) => name);

  t.match(await list(""), { kind: "compute#instanceList", items: names.map((name) => ({ name })) });
  t.same(await filtered('name = "controller-1"'), ["controller-1"]);
  t.same(await filtered("name eq controller-[02]"), ["controller-0", "controller-2"]);
  t.same(await filtered("(name != controller-0) (name ne controller-1)"), ["controller-2"]);
  t.same(await filtered("name=worker-0"), []);
  const page = await list("?maxResults=2");
  t.equal(page.items.length, 2);
  t.same(
    (await list(`?maxResults=2&pageToken=${page.nextPageToken}`)).items.map(({ name }: Answer) => name),
    ["controller-2"],
  );
  const aggregated = (await call("GET", `${project}/aggregated/instances`)).body;
  t.match(aggregated.items["zones/us-west1-c"].instances[0].networkInterfaces[0], {
    networkIP: `${network}.10`,
    accessConfigs: [{ natIP: `${network}.10` }],
  });
  t.match((await call("GET", `${project}/aggregated/targetPools`)).body.items["regions/us-west1"], {
    warning: { code: "NO_RESULTS_ON_PAGE" },
  });
  t.match((await call("GET", project)).body, { kind: "compute#project", name: "khw-testbed" });
  t.match((await call("GET", `${project}/regions`)).body.items, [{ kind: "compute#region", name: "us-west1" }]);
  t.match((await call("GET", `${project}/zones/us-west1-c`)).body, { kind: "compute#zone", region: link(region) });
});

t.test("error responses use Google's wording", async (t) => {
  const lab = await start(t);
  await makeLoadBalancer(lab);
  const refusal = async (method: string, path: string, body?: object) => {
    const { status, body: answer } = await lab.call(method, path, body);
    const [error] = answer.error.errors;
    t.equal(answer.error.code, status);
    t.equal(error.domain, "global");
    return [status, error.reason, error.message];
  };
  const pools = `${region}/targetPools`;
  const rules = `${region}/forwardingRules`;
  const rule = { name: "other", IPAddress: `${network}.50`, portRange: "6443", target: link(poolPath) };

  t.same(await refusal("GET", `${pools}/none`), [404, "notFound", `The resource '${pools}/none' was not found`]);
  t.same(await refusal("POST", pools, { name: "kubernetes-target-pool" }), [
    409,
    "alreadyExists",
    `The resource '${poolPath}' already exists`,
  ]);
  t.match(await refusal("POST", pools, { name: "Bad_Name" }), [
    400,
    "invalid",
    /'resource.name': 'Bad_Name'. Must be a match/,
  ]);
  t.match(await refusal("POST", pools, { name: "x", colour: 1 }), [400, "badRequest", /Unknown name "colour"/]);
  t.match(await refusal("POST", pools, { name: "x", sessionAffinity: "MAYBE" }), [400, "invalid", /sessionAffinity/]);
  t.match(await refusal("POST", pools, {}), [400, "required", /resource.name/]);
  t.match(await refusal("POST", `${pools}?colour=1`, { name: "x" }), [400, "badRequest", /Unknown name "colour"/]);
  t.match(await refusal("POST", `${pools}?requestId=1`, { name: "x" }), [400, "invalid", /requestId/]);
  t.match(await refusal("POST", pools, { name: "x", healthChecks: ["global/httpHealthChecks/none"] }), [
    404,
    "notFound",
  ]);
  t.match(await refusal("POST", `${poolPath}/addHealthCheck`, { healthChecks: [{ healthCheck: "nonsense" }] }), [
    400,
    "invalid",
    /The URL is malformed/,
  ]);
  t.match(
    await refusal("POST", `${poolPath}/addInstance`, {
      instances: [{ instance: `${project}/zones/us-east1-b/instances/a` }],
    }),
    [400, "invalid", /region/],
  );
  t.match(await refusal("POST", `${poolPath}/removeInstance`, { instances: [{ instance: instance("worker-0") }] }), [
    400,
    "invalid",
    /not a member/,
  ]);
  t.match(await refusal("POST", rules, rule), [400, "invalid", /in-use and would result in a conflict/]);
  t.match(await refusal("POST", rules, { ...rule, IPAddress: "192.0.2.1" }), [400, "invalid", /192.0.2.1/]);
  t.match(await refusal("POST", rules, { ...rule, portRange: undefined, ports: ["6443"] }), [400, "invalid", /ports/]);
  t.match(await refusal("POST", rules, { ...rule, portRange: "9-1" }), [400, "invalid", /portRange/]);
  t.match(await refusal("POST", `${region}/addresses`, { name: "second" }), [403, "quotaExceeded", /STATIC_ADDRESSES/]);
  t.match(await refusal("PATCH", poolPath, {}), [501, "notImplemented"], "a target pool cannot be patched");
  t.match(await refusal("GET", "projects/other/global/firewalls"), [404, "notFound"]);
  t.same(await refusal("DELETE", poolPath), [
    400,
    "resourceInUseByAnotherResource",
    `The target_pool resource '${poolPath}' is already being used by '${rulePath}'`,
  ]);
  t.match(await refusal("DELETE", checkPath), [400, "resourceInUseByAnotherResource"]);
  t.match(await refusal("DELETE", addressPath), [400, "resourceInUseByAnotherResource", /address resource/]);
  const malformed = await fetch(`${lab.compute.url}${pools}`, { method: "POST", body: "{" });
  t.match(await malformed.json(), { error: { code: 400, errors: [{ reason: "parseError" }] } });
});

t.test("patch, put, and the methods for pools and rules update their resources", async (t) => {
  const lab = await start(t);
  await makeLoadBalancer(lab);
  const read = async (path: string) => (await lab.call("GET", path)).body;
  const before = await read(rulePath);

  await lab.done("PATCH", checkPath, { requestPath: "/livez" });
  t.match(await read(checkPath), { requestPath: "/livez", port: 8081 });
  await lab.done("PUT", checkPath, { name: "kubernetes", requestPath: "/readyz" });
  t.match(await read(checkPath), { requestPath: "/readyz", port: 80 });
  await lab.done("PATCH", firewallPath, {
    name: "kubernetes-the-hard-way-allow-health-check",
    sourceRanges: ["35.191.0.0/16"],
  });
  t.same((await read(firewallPath)).sourceRanges, ["35.191.0.0/16"]);

  await lab.done("POST", `${poolPath}/removeInstance`, { instances: [{ instance: instance("controller-1") }] });
  t.same((await read(poolPath)).instances, [link(instance("controller-0")), link(instance("controller-2"))]);
  await lab.done("POST", `${poolPath}/removeHealthCheck`, { healthChecks: [{ healthCheck: checkPath }] });
  t.notOk("healthChecks" in (await read(poolPath)), "responses omit empty lists");
  await lab.done("POST", `${poolPath}/addHealthCheck`, { healthChecks: [{ healthCheck: checkPath }] });
  t.same((await read(poolPath)).healthChecks, [link(checkPath)]);

  await lab.done("POST", `${region}/targetPools`, { name: "second" });
  await lab.done("POST", `${rulePath}/setTarget`, { target: `${region}/targetPools/second` });
  const after = await read(rulePath);
  t.equal(after.target, link(`${region}/targetPools/second`));
  t.equal(after.id, before.id);
  t.not(after.fingerprint, before.fingerprint);
});

t.test("operations go through all their states, and concurrent changes to the same resource must wait", async (t) => {
  const { compute, call } = await start(t);
  await compute.control.configure({ operationMillis: 400 });
  const checks = `${project}/global/httpHealthChecks`;
  const { body: operation } = await call("POST", checks, { name: "kubernetes" });
  t.match(operation, {
    kind: "compute#operation",
    status: "PENDING",
    targetLink: link(checkPath),
    operationType: "insert",
  });
  t.match((await call("POST", checks, { name: "kubernetes" })).body, { error: { code: 409 } });
  t.match((await call("PATCH", checkPath, { port: 1 })).body, { error: { errors: [{ reason: "resourceNotReady" }] } });
  const pool = await call("POST", `${region}/targetPools`, { name: "p", healthChecks: [checkPath] });
  t.match(
    pool.body,
    { error: { errors: [{ reason: "resourceNotReady" }] } },
    "another resource cannot refer to a resource that is still being created",
  );
  const path = pathOf(operation.selfLink);
  await eventually(
    async () => (await call("GET", path)).body.status,
    (status) => status === "RUNNING",
  );
  const began = Date.now();
  t.match((await call("POST", `${path}/wait`)).body, { status: "DONE", progress: 100, endTime: /T/ });
  t.ok(Date.now() - began < 2000, "the wait call returns when the operation ends");
  t.equal((await call("GET", checkPath)).status, 200);
  t.equal((await call("GET", `${project}/global/operations`)).body.items.length, 1);
});

t.test("a request that is repeated with the same requestId is executed only once", async (t) => {
  const { compute, call } = await start(t);
  const requestId = randomUUID();
  const path = `${project}/global/httpHealthChecks?requestId=${requestId}`;
  await compute.control.setFaults({ kind: "cut", when: "after", method: "POST", path: "httpHealthChecks$", times: 1 });
  await t.rejects(call("POST", path, { name: "kubernetes" }), /fetch failed/);
  const repeat = await call("POST", path, { name: "kubernetes" });
  t.equal(repeat.status, 200);
  const again = await call("POST", path, { name: "kubernetes" });
  t.equal(again.body.name, repeat.body.name, "a repeated request returns the same operation");
  t.match((await call("POST", path, { name: "other" })).body, { error: { errors: [{ reason: "invalid" }] } });
  t.equal(await compute.control.mutations(), 1);
  t.same(
    (await compute.control.log()).map(({ status }) => status),
    ["cut", 200, 200, 400],
  );
});

t.test("injected faults occur as often as configured", async (t) => {
  const { compute, call } = await start(t);
  const { control } = compute;
  const checks = `${project}/global/httpHealthChecks`;

  await control.setFaults(
    {
      kind: "error",
      status: 503,
      reason: "backendError",
      method: "GET",
      path: "/firewalls",
      times: 2,
      retryAfterSec: 1,
    },
    { kind: "error", status: 403, reason: "rateLimitExceeded", path: "/targetPools" },
  );
  const first = await call("GET", `${project}/global/firewalls`);
  t.match(first.body, { error: { code: 503, errors: [{ reason: "backendError" }] } });
  t.equal(first.headers.get("retry-after"), "1");
  t.equal((await call("GET", `${project}/global/firewalls`)).status, 503);
  t.equal((await call("GET", `${project}/global/firewalls`)).status, 200);
  t.equal((await call("GET", poolPath)).status, 403);
  t.match(await control.faults(), [{ reason: "rateLimitExceeded" }]);

  await control.setFaults(
    {
      kind: "operation",
      code: "QUOTA_EXCEEDED",
      message: "Quota 'HEALTH_CHECKS' exceeded.",
      httpStatus: 403,
      times: 1,
    },
    { kind: "earlyWait", times: 1 },
    { kind: "slow", millis: 300, times: 1 },
  );
  const { body: operation } = await call("POST", checks, { name: "kubernetes" });
  const wait = `${pathOf(operation.selfLink)}/wait`;
  t.not((await call("POST", wait)).body.status, "DONE", "the wait call returns before the operation ends");
  t.match((await call("POST", wait)).body, {
    status: "DONE",
    error: { errors: [{ code: "QUOTA_EXCEEDED", message: "Quota 'HEALTH_CHECKS' exceeded." }] },
    httpErrorStatusCode: 403,
    httpErrorMessage: "FORBIDDEN",
  });
  t.equal((await call("GET", checkPath)).status, 404, "nothing was changed");

  await control.setFaults({ kind: "cut", when: "before", times: 1 });
  await t.rejects(call("POST", checks, { name: "kubernetes" }), /fetch failed/);
  t.equal(await control.mutations(), 1, "the failed request counts, but the request that was cut off does not");
});

t.test("resources that were in use by a deleted resource report resourceNotReady for a while", async (t) => {
  const lab = await start(t);
  await makeLoadBalancer(lab);
  await lab.compute.control.configure({ settleMillis: 200 });
  await lab.done("DELETE", rulePath);
  t.match((await lab.call("DELETE", poolPath)).body, {
    error: { code: 400, errors: [{ reason: "resourceNotReady" }] },
  });
  await eventually(
    async () => (await lab.call("DELETE", poolPath)).status,
    (status) => status === 200,
  );
});

t.test("the emulator can require a bearer token", async (t) => {
  const { compute, call } = await start(t);
  await compute.control.configure({ token: "right" });
  t.equal((await call("GET", project)).status, 401);
  const get = (token: string) => fetch(compute.url + project, { headers: { authorization: `Bearer ${token}` } });
  t.equal((await get("wrong")).status, 401);
  t.equal((await get("right")).status, 200);
});

t.test("tests can read and change the emulator's state without the Compute Engine API", async (t) => {
  const { compute, call } = await start(t, { withAddress: false });
  const { control } = compute;
  t.equal((await call("GET", addressPath)).status, 404);
  await control.changeState({
    put: { [addressPath]: {}, [poolPath]: { instances: [instance("stranger")] } },
    remove: [instance("controller-2")],
  });
  t.match((await call("GET", poolPath)).body, { instances: [link(instance("stranger"))], sessionAffinity: "NONE" });
  t.match((await control.state()).resources[addressPath], { address: `${network}.50`, status: "RESERVED" });
  t.equal((await call("GET", instance("controller-2"))).status, 404);
  await control.changeState({ put: { [poolPath]: { description: "drifted" } } });
  t.match((await call("GET", poolPath)).body, { instances: [link(instance("stranger"))], description: "drifted" });
  t.equal(await control.mutations(), 0);
  await control.changeState({ reset: true });
  t.equal((await call("GET", poolPath)).status, 404);
  t.ok((await control.log()).length > 0);
  await control.clearLog();
  t.same(await control.log(), []);
  await t.rejects(control.changeState({ put: { [rulePath]: { target: "nonsense" } } }), /malformed/);
});

t.test("the schema check finds values that violate Google's API schema", (t) => {
  const discovery = loadDiscovery();
  const problems = (value: unknown, $ref: string) =>
    checkValue(value, { $ref }, { discovery }).map(({ at, problem }) => `${at} ${problem}`);
  t.same(problems({ kind: "compute#address", id: "18446744073709551615", users: ["a"] }, "Address"), []);
  t.same(problems({ kind: "compute#adress", id: "-1", users: "a", labels: { a: 1 } }, "Address"), [
    "resource.kind enum",
    "resource.id format",
    "resource.users type",
    "resource.labels.a type",
  ]);
  t.same(problems({ port: 1.5, colour: "red" }, "HttpHealthCheck"), ["resource.port type", "resource.colour unknown"]);
  t.same(problems({ items: { "regions/r": { addresses: [{ name: "Bad" }] } } }, "AddressAggregatedList"), [
    "resource.items.regions/r.addresses[0].name pattern",
  ]);
  t.end();
});

/**
 * A fake instance with a health endpoint and a TCP server. The test sets the endpoint's status. The TCP server sends
 * the instance's name.
 */
class Backend {
  readonly #health: HttpServer;
  readonly #service: Server;
  readonly hosts = new Set<string | undefined>();
  status = 200;

  constructor(name: string) {
    this.#health = createHttpServer((request, response) => {
      this.hosts.add(request.headers.host);
      response.writeHead(request.url === "/healthz" ? this.status : 404).end();
    });
    this.#service = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write(`${name}\n`);
      socket.pipe(socket);
    });
  }

  async listen(address: string): Promise<void> {
    await Promise.all([
      once(this.#health.listen(8081, address), "listening"),
      once(this.#service.listen(6443, address), "listening"),
    ]);
  }

  close(): void {
    this.#health.closeAllConnections();
    this.#health.close();
    this.#service.close();
  }
}

/** Connects through the load balancer. Returns the first line received, or the code of the error. */
async function greeting(): Promise<string> {
  const socket = connect(6443, `${network}.50`);
  const first = await Promise.race([once(socket, "data"), once(socket, "error")]).catch((error: Error) => [error]);
  socket.destroy();
  const [value]: (Buffer | NodeJS.ErrnoException)[] = first;
  return Buffer.isBuffer(value) ? value.toString().trim() : (value?.code ?? "");
}

t.test("the data plane probes as the health check specifies and forwards only to healthy instances", async (t) => {
  const lab = await start(t);
  const backends = names.map((name) => new Backend(name));
  t.teardown(() => backends.forEach((backend) => backend.close()));
  await Promise.all(backends.map((backend, index) => backend.listen(`${network}.${10 + index}`)));
  await makeLoadBalancer(lab);
  await lab.done("PATCH", checkPath, { host: "kubernetes.default.svc.cluster.local", timeoutSec: 1 });
  const health = async () => {
    const answers = names.map((name) => lab.call("POST", `${poolPath}/getHealth`, { instance: link(instance(name)) }));
    return (await Promise.all(answers)).map(({ body }) => body.healthStatus?.[0]?.healthState);
  };
  const becomes = (...wanted: readonly string[]) => eventually(health, (seen) => seen.join() === wanted.join());
  const [up, down] = ["HEALTHY", "UNHEALTHY"] as const;
  const reached = async () => new Set(await Promise.all(Array.from({ length: 60 }, greeting)));

  await becomes(up, up, up);
  t.match((await lab.call("POST", `${poolPath}/getHealth`, { instance: instance("controller-1") })).body, {
    kind: "compute#targetPoolInstanceHealth",
    healthStatus: [{ healthState: up, ipAddress: `${network}.50`, instance: link(instance("controller-1")) }],
  });
  t.ok(
    backends[0]?.hosts.has("kubernetes.default.svc.cluster.local"),
    "health probes send the Host header of the health check",
  );
  t.same([...(await reached())].sort(), names, "new connections reach all instances");

  const standing = connect(6443, `${network}.50`);
  const [hello]: Buffer[] = await once(standing, "data");
  const sick = backends[names.indexOf(String(hello).trim())];
  if (!sick) throw new Error(`no backend says ${String(hello)}`);
  sick.status = 500;
  await becomes(...backends.map((backend) => (backend === sick ? down : up)));
  t.equal((await reached()).size, 2, "new connections reach only the two healthy instances");
  standing.write("still there?");
  t.equal(
    String((await once(standing, "data"))[0]),
    "still there?",
    "an open connection to the unhealthy instance stays open",
  );
  standing.end();
  await once(standing, "close");
  sick.status = 200;
  await becomes(up, up, up);

  await lab.done("PATCH", firewallPath, {
    name: "kubernetes-the-hard-way-allow-health-check",
    sourceRanges: ["35.191.0.0/16"],
  });
  await becomes(down, down, down);
  t.match((await lab.compute.control.state()).health[0]?.reason, /no firewall rule/);
  t.equal((await reached()).size, 3, "new connections reach all instances if no instance is healthy");

  await lab.done("PATCH", firewallPath, {
    name: "kubernetes-the-hard-way-allow-health-check",
    sourceRanges: ["0.0.0.0/0"],
  });
  await becomes(up, up, up);
  backends[2]?.close();
  await becomes(up, up, down);

  await lab.compute.control.changeState({ put: { [poolPath]: { instances: [instance("stranger")] } } });
  t.equal(await greeting(), "ECONNRESET", "a connection is reset if the pool has no usable instance");
  await lab.done("DELETE", rulePath);
  t.equal(await greeting(), "ECONNREFUSED", "a connection is refused if there is no forwarding rule");
});

t.test(
  "without a health check, all instances count as healthy, and without a forwarding rule, no health is reported",
  async (t) => {
    const lab = await start(t);
    await lab.compute.control.changeState({ put: { [poolPath]: { instances: [instance("controller-0")] } } });
    const health = async () =>
      (await lab.call("POST", `${poolPath}/getHealth`, { instance: instance("controller-0") })).body;
    t.notOk("healthStatus" in (await health()));
    await lab.compute.control.changeState({
      put: { [rulePath]: { target: poolPath, IPAddress: "kubernetes-the-hard-way", portRange: "6443-6444" } },
    });
    t.match(await health(), { healthStatus: [{ healthState: "HEALTHY" }] });
    t.match((await lab.compute.control.state()).listeners, [{ port: 6443 }, { port: 6444 }]);
  },
);
