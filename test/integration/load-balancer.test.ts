import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { applySteps, planSteps, type Step, type StepResult } from "../../proto/step.ts";
import { lbCreate, lbDelete, lbStatus } from "../../client/commands/lb.ts";
import { loadConfig } from "../../client/config/load.ts";
import type { ClusterConfig } from "../../client/config/schema.ts";
import type { Context } from "../../client/terminal/context.ts";
import type { Compute } from "../../client/gce/compute.ts";
import { labLoadBalancer, type LoadBalancerConfig } from "../../client/gce/config.ts";
import { deleteLoadBalancerSteps } from "../../client/gce/delete-load-balancer.ts";
import { poolHealth } from "../../client/gce/health.ts";
import { locateInstances, resolveInstances } from "../../client/gce/instances.ts";
import { loadBalancerSteps, publicAddress } from "../../client/gce/load-balancer.ts";
import { restCompute, type RestOptions } from "../../client/gce/rest.ts";
import type { State } from "../testbed/compute/control.ts";
import { startCompute } from "../testbed/compute/start.ts";

const project = "lab-project";
const region = "us-west1";
const zone = "us-west1-c";
const staticAddress = "127.31.0.9";
const names = ["controller-0", "controller-1", "controller-2"];
const config: LoadBalancerConfig = {
  ...labLoadBalancer,
  project,
  region,
  instances: names.map((name) => ({ name, zone })),
};
const inRegion = `projects/${project}/regions/${region}`;
const pool = `${inRegion}/targetPools/kubernetes-target-pool`;
const rule = `${inRegion}/forwardingRules/kubernetes-forwarding-rule`;
const healthCheck = `projects/${project}/global/httpHealthChecks/kubernetes`;
const firewall = `projects/${project}/global/firewalls/kubernetes-the-hard-way-allow-health-check`;
const { signal } = new AbortController();

const emulator = await startCompute({
  listen: `127.0.0.1:${await freePort()}`,
  socket: join(t.testdir({}), "control"),
  address: staticAddress,
  instances: names.map((name, index) => `${name}=127.31.0.${10 + index}`),
  probeScale: 20,
  project,
  region,
  zone,
});
const { control, url: endpoint } = emulator;

t.beforeEach(async () => {
  await control.setFaults();
  await control.configure({ operationMillis: 20, settleMillis: 0, token: null });
  await control.changeState({ reset: true });
  await control.clearLog();
});

t.test("lb create creates the lab's resources, and a second run changes nothing", async (t) => {
  await using compute = open();
  t.strictSame(outcomes(await create(compute)), ["unchanged", ...Array<string>(5).fill("changed")]);
  t.equal(await control.mutations(), 5);
  t.equal(await publicAddress(compute, config, signal), staticAddress);
  for (const _ of [1, 2]) t.strictSame(outcomes(await create(compute)), Array<string>(6).fill("unchanged"));
  t.equal(await control.mutations(), 5, "the second and third runs send no mutation");
  const plan = await planSteps(loadBalancerSteps(config), compute, signal);
  t.ok(plan.every(({ drift, error }) => drift === null && error === null));
});

t.test("every mutation has its own request ID", async (t) => {
  await using compute = open();
  await create(compute);
  const ids = (await mutationLog()).map(({ query }) => query["requestId"] ?? "");
  t.equal(new Set(ids).size, 5);
  for (const id of ids) t.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

t.test("lb create reserves the address if requested", async (t) => {
  await control.changeState({ remove: [`${inRegion}/addresses/kubernetes-the-hard-way`] });
  await using compute = open();
  t.match(failures(await create(compute)), ["COMPUTE_FAILED there is no address kubernetes-the-hard-way in region"]);
  t.strictSame(failures(await create(compute, { ...config, createAddress: true })), []);
  t.equal((await resources())[rule]?.["IPAddress"], await publicAddress(compute, config, signal));
});

t.test("drift is repaired in place where Google allows it", async (t) => {
  await using compute = open();
  await create(compute);
  const before = await resources();
  const repairs: [path: string, fields: object, drift: RegExp][] = [
    [
      healthCheck,
      { host: "example.com", requestPath: "/", port: 8080 },
      /host is example\.com, not kubernetes\.def.*; port is/,
    ],
    [firewall, { sourceRanges: ["10.0.0.0/8"] }, /sourceRanges is 10\.0\.0\.0\/8, not 209/],
    [firewall, { allowed: [{ IPProtocol: "tcp", ports: ["22"] }] }, /allowed is tcp:22, not tcp/],
    [firewall, { disabled: true }, /disabled is true, not false/],
    [pool, { healthChecks: [] }, /healthChecks is empty, not projects/],
    [pool, { instances: [] }, /controller-0, controller-1, controller-2 not in the pool/],
  ];
  for (const [path, fields, drift] of repairs) {
    await control.changeState({ put: { [path]: { ...fields } } });
    const results = await create(compute);
    t.strictSame(failures(results), []);
    const changed = results.flatMap((result) => (result.outcome === "changed" ? [result.drift.summary] : []));
    t.equal(changed.length, 1);
    t.match(changed[0], drift);
    t.strictSame((await resources())[path], before[path]);
  }
});

t.test("a wrong health check in the target pool is replaced", async (t) => {
  await using compute = open();
  await create(compute);
  const other = `projects/${project}/global/httpHealthChecks/other`;
  await control.changeState({ put: { [other]: {}, [pool]: { healthChecks: [link(other)] } } });
  t.strictSame(failures(await create(compute)), []);
  t.match((await resources())[pool], { healthChecks: [link(healthCheck)] });
});

t.test("drift that cannot be repaired in place is reported and not changed", async (t) => {
  await using compute = open();
  await create(compute);
  const network = `projects/${project}/global/networks/default`;
  const drifts: [path: string, fields: object, message: string][] = [
    [rule, { IPAddress: "127.31.0.77" }, `IPAddress is 127.31.0.77, not ${staticAddress}`],
    [rule, { portRange: "443-443" }, "portRange is 443-443, not 6443-6443"],
    [rule, { IPProtocol: "UDP" }, "IPProtocol is UDP, not TCP"],
    [rule, { target: link(`${pool}-2`) }, `target is ${pool}-2, not ${pool}`],
    [firewall, { direction: "EGRESS" }, "direction is EGRESS, not INGRESS"],
    [firewall, { network: link(network) }, "network is projects/.*default, not"],
  ];
  await control.changeState({
    put: { [`${inRegion}/addresses/other`]: { address: "127.31.0.77" }, [`${pool}-2`]: {}, [network]: {} },
  });
  const sound = await resources();
  const mutations = await control.mutations();
  for (const [path, fields, message] of drifts) {
    await control.changeState({ put: { [path]: { ...fields } } });
    t.match(failures(await create(compute)), [new RegExp(`^COMPUTE_DRIFT .*${message}`)]);
    await control.changeState({ put: { [path]: sound[path] ?? {} } });
  }
  t.equal(await control.mutations(), mutations);
});

t.test(
  "a target pool with foreign instances gets its missing instances and is reported, but is never deleted",
  async (t) => {
    await using compute = open();
    const other = `projects/${project}/zones/${zone}/instances/worker-0`;
    await control.changeState({ put: { [pool]: { healthChecks: [], instances: [link(other)] } } });
    const results = await create(compute);
    t.match(failures(results), [
      `COMPUTE_DRIFT targetPools/kubernetes-target-pool has ${other}, which is not a controller`,
    ]);
    t.match((await resources())[pool], { instances: { length: 4 }, healthChecks: [link(healthCheck)] });
    t.equal(results.at(-1)?.outcome, "changed", "the forwarding rule is created in spite of the drift");
    const before = await control.mutations();
    t.match(failures(await remove(compute)), [/COMPUTE_DRIFT .*worker-0/]);
    t.equal(await control.mutations(), before, "nothing was deleted");
  },
);

t.test("requests to an overloaded API are retried until they succeed", async (t) => {
  await control.setFaults(
    { kind: "error", status: 429, reason: "rateLimitExceeded", times: 2 },
    { kind: "error", status: 503, reason: "backendError", method: "POST", times: 2 },
    { kind: "error", status: 403, reason: "rateLimitExceeded", path: "forwardingRules", times: 2 },
    { kind: "error", status: 500, reason: "internalError", path: "wait$", times: 2 },
    { kind: "error", status: 502, reason: "", path: "addInstance", times: 1 },
  );
  await using compute = open();
  t.strictSame(failures(await create(compute)), []);
  t.equal(await control.mutations(), 5);
});

t.test("the client honors the Retry-After header", async (t) => {
  await control.setFaults({ kind: "error", status: 429, reason: "rateLimitExceeded", retryAfterSec: 1, times: 1 });
  await using compute = open({ retry: { tries: 2, firstMillis: 1, maxMillis: 1000 } });
  const start = performance.now();
  await publicAddress(compute, config, signal);
  t.ok(performance.now() - start >= 990);
});

t.test("an API that stays overloaded is reported as a failure, and a later run completes the work", async (t) => {
  await control.setFaults({
    kind: "error",
    status: 503,
    reason: "backendError",
    message: "Try later",
    path: "targetPools",
  });
  await using compute = open({ retry: { tries: 3, firstMillis: 1, maxMillis: 2 } });
  const results = await create(compute);
  t.match(failures(results), ["COMPUTE_FAILED get targetPools/kubernetes-target-pool: 503 backendError: Try later"]);
  t.strictSame(outcomes(results).slice(3), ["failed", "skipped", "skipped"]);
  await control.setFaults();
  t.strictSame(failures(await create(compute)), []);
});

t.test("errors that a retry cannot fix are reported immediately with Google's message", async (t) => {
  const quota = "Quota 'TARGET_POOLS' exceeded. Limit: 0.0 globally.";
  await control.setFaults(
    { kind: "error", status: 403, reason: "quotaExceeded", message: quota, method: "POST", path: "targetPools$" },
    {
      kind: "error",
      status: 403,
      reason: "forbidden",
      message: "Required 'compute.firewalls.create'",
      path: "firewalls",
    },
  );
  await using compute = open();
  const results = await create(compute);
  t.strictSame(failures(results), [
    "COMPUTE_FAILED get firewalls/kubernetes-the-hard-way-allow-health-check: 403 forbidden: Required 'compute.firewalls.create'",
    `COMPUTE_FAILED insert targetPools/kubernetes-target-pool: 403 quotaExceeded: ${quota}`,
  ]);
  t.equal(
    (await mutationLog()).filter(({ path }) => path.endsWith("targetPools")).length,
    1,
    "the request is sent once",
  );
  t.match(results[2], { error: { hint: /roles\/compute\.securityAdmin/ } });
  t.match(results[3], { error: { hint: /quotas\?project=lab-project/ } });
});

t.test("a failed operation is reported with its code and message", async (t) => {
  await control.setFaults({
    kind: "operation",
    code: "QUOTA_EXCEEDED",
    message: "Quota 'FORWARDING_RULES' exceeded.",
    httpStatus: 403,
    path: "forwardingRules",
    times: 1,
  });
  await using compute = open();
  t.strictSame(failures(await create(compute)), [
    "COMPUTE_FAILED insert forwardingRules/kubernetes-forwarding-rule: 403 QUOTA_EXCEEDED: Quota 'FORWARDING_RULES' exceeded.",
  ]);
  t.strictSame(failures(await create(compute)), [], "a later run completes the remaining work");
});

t.test("a request is never applied twice, even if its connection breaks before or after execution", async (t) => {
  for (const when of ["before", "after"] as const) {
    await control.changeState({ reset: true });
    await control.clearLog();
    await control.setFaults(
      { kind: "cut", when, method: "POST", path: "(targetPools|addInstance|forwardingRules)$", times: 3 },
      { kind: "cut", when, method: "GET", times: 1 },
      { kind: "cut", when, path: "wait$", times: 1 },
    );
    await using compute = open();
    t.strictSame(failures(await create(compute)), []);
    t.equal(await control.mutations(), 5, when);
    const log = await mutationLog();
    t.ok(log.length > 5, "some requests were sent again");
    t.equal(
      new Set(log.map(({ query }) => query["requestId"])).size,
      5,
      "each repeated request has the same request ID",
    );
  }
});

t.test("on a 409, the client waits for the resource that another client is creating", async (t) => {
  const exists = { kind: "error", status: 409, reason: "alreadyExists", message: "exists", method: "POST" } as const;
  await using compute = open();
  await create(compute);
  const { [rule]: made } = await resources();
  await control.changeState({ remove: [rule] });
  await control.setFaults({ ...exists, path: "forwardingRules$", times: 1 });
  const running = create(compute);
  setTimeout(() => void control.changeState({ put: { [rule]: made ?? {} } }), 400);
  t.strictSame(failures(await running), []);
});

t.test("two concurrent clients create only one load balancer", async (t) => {
  await using one = open();
  await using two = open();
  const [first, second] = await Promise.all([create(one), create(two)]);
  t.strictSame([...failures(first), ...failures(second)], []);
  t.match((await resources())[pool], { instances: { length: 3 } });
});

t.test("a wait call that returns early is repeated without busy-looping", async (t) => {
  await control.configure({ operationMillis: 700 });
  await control.setFaults({ kind: "earlyWait", path: "operations/.*/wait$" });
  await using compute = open();
  t.strictSame(failures(await create(compute)), []);
  const waits = (await control.log()).filter(({ path }) => path.endsWith("/wait"));
  t.ok(waits.length >= 10 && waits.length <= 30, `5 operations of 700 ms take 10 to 30 wait calls: ${waits.length}`);
});

t.test("an operation that never finishes times out, and the error contains its last state", async (t) => {
  await control.setFaults({ kind: "slow", millis: 60_000, path: "firewalls" }, { kind: "earlyWait" });
  await using compute = open({ operationMillis: 600 });
  const [failure] = failures(await create(compute));
  t.match(
    failure,
    /^TIMEOUT insert firewalls\/.*: operation operation-\S+ is still (PENDING|RUNNING), \d+ % after 0\.6 s/,
  );
});

t.test("Ctrl-C ends every wait, and the error contains the reason for the abort", async (t) => {
  await control.configure({ operationMillis: 60_000 });
  await using compute = open();
  const abort = new AbortController();
  const running = applySteps(loadBalancerSteps(config), compute, { signal: abort.signal, emit: () => {} });
  setTimeout(() => abort.abort(new Error("detached")), 200);
  const results = await running;
  t.match(failures(results), [/detached/, /detached/]);
});

t.test("a project that does not exist is reported as an error, not as an empty list", async (t) => {
  await using compute = open();
  const elsewhere = { ...config, project: "no-such-project" };
  const results = await create(compute, elsewhere);
  t.ok(outcomes(results).every((outcome) => outcome === "failed" || outcome === "skipped"));
  t.match(failures(results)[0], /404 notFound: .*no-such-project/);
});

t.test("an endpoint that is unreachable or not a URL is reported as an error", async (t) => {
  await using compute = open({
    endpoint: `http://127.0.0.1:${await freePort()}/`,
    retry: { tries: 2, firstMillis: 1, maxMillis: 1 },
  });
  await t.rejects(publicAddress(compute, config, signal), {
    code: "COMPUTE_FAILED",
    message: /get addresses\/kubernetes-the-hard-way: no answer from 127\.0\.0\.1:\d+: ECONNREFUSED/,
  });
  t.throws(() => open({ endpoint: "compute.googleapis.com" }), { code: "INVALID_ARGUMENT", message: /gce\.endpoint/ });
});

t.test("credentials are sent with every request, but never over plain HTTP to another machine", async (t) => {
  await control.configure({ token: "good" });
  const bearer = (token: string) => ({ credentials: async () => ({ authorization: `Bearer ${token}` }) });
  await using signedIn = open(bearer("good"));
  t.strictSame(failures(await create(signedIn)), []);
  await using expired = open(bearer("bad"));
  await t.rejects(publicAddress(expired, config, signal), { message: /: 401 /, hint: /application-default login/ });
  await using exposed = open({ ...bearer("good"), endpoint: "http://192.0.2.1/compute/v1/" });
  await t.rejects(publicAddress(exposed, config, signal), { code: "INVALID_ARGUMENT", message: /without TLS/ });
});

t.test("lb delete removes only the load balancer and waits for resources that are not ready", async (t) => {
  await control.configure({ settleMillis: 150 });
  await using compute = open();
  const before = Object.keys(await resources());
  await create(compute);
  t.strictSame(failures(await remove(compute)), []);
  t.strictSame(Object.keys(await resources()).toSorted(), before.toSorted());
  t.strictSame(outcomes(await remove(compute)), Array<string>(5).fill("unchanged"));
  t.strictSame(failures(await remove(compute, { address: true })), []);
  t.notOk(Object.keys(await resources()).some((path) => path.includes("/addresses/")));
});

t.test("lb delete retries a resource that Google still reports as in use", async (t) => {
  const inUse = { kind: "error", status: 400, reason: "resourceInUseByAnotherResource", method: "DELETE" } as const;
  await using compute = open();
  await create(compute);
  await control.setFaults(
    { ...inUse, path: "targetPools", times: 1 },
    { ...inUse, path: "httpHealthChecks", times: 1 },
  );
  t.strictSame(failures(await remove(compute)), []);
});

t.test("backend health comes from the load balancer's probes, which require the firewall rule", async (t) => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
  });
  server.listen(18_081, "127.31.0.10");
  await once(server, "listening");
  t.teardown(() => server.close());
  const wanted = { ...config, healthCheck: { ...config.healthCheck, port: 18_081 } };
  await using compute = open();
  await create(compute, wanted);
  const states = async () => (await poolHealth(compute, wanted, signal)).map(({ state }) => state);
  const seen = async (first: string) => {
    const deadline = performance.now() + 20_000;
    let last: string[] = [];
    while (performance.now() < deadline && last[0] !== first) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      last = await states();
    }
    return last;
  };
  t.strictSame(await seen("HEALTHY"), ["HEALTHY", "UNHEALTHY", "UNHEALTHY"]);
  t.equal((await poolHealth(compute, wanted, signal))[0]?.address, staticAddress);
  await control.changeState({ remove: [firewall] });
  t.strictSame(await seen("UNHEALTHY"), ["UNHEALTHY", "UNHEALTHY", "UNHEALTHY"]);
});

t.test("instances are found by name, with and without a zone", async (t) => {
  await using compute = open();
  for (const place of [
    { project, region },
    { project, region, zone },
  ]) {
    const found = await resolveInstances(compute, names, { place, signal });
    t.match(found[1], { name: "controller-1", zone, internalIp: "127.31.0.11" });
    await t.rejects(resolveInstances(compute, ["controller-9"], { place, signal }), {
      message: /no instance controller-9/,
    });
  }
  t.strictSame(await locateInstances(compute, names, { place: config, signal }), config.instances);
});

t.test("lb create, status and delete report their work", async (t) => {
  const created = context();
  t.equal(await lbCreate(await clusterConfig(), created, { output: "text" }), 0);
  t.match(created.out(), /^unchanged {2}address kubernetes-the-hard-way is reserved$/m);
  t.match(created.out(), /^changed {4}firewall rule kubernetes-the-hard-way-allow-health-check allows health checks$/m);
  t.ok(created.out().endsWith(`https://${staticAddress}:6443\n`));

  const status = context();
  t.equal(
    await lbStatus(await clusterConfig(), status, { output: "text" }),
    2,
    "status exits with code 2 because no backend is healthy",
  );
  t.match(status.out(), /^ok {7}forwarding rule kubernetes-forwarding-rule forwards port 6443 to the pool$/m);
  t.match(status.out(), /^UNHEALTHY {2}controller-2 \(us-west1-c\)$/m);
  const document = context();
  await control.changeState({ put: { [pool]: { instances: [] } } });
  t.equal(await lbStatus(await clusterConfig(), document, { output: "json" }), 2);
  t.match(JSON.parse(document.out()), {
    steps: [
      { id: "address", drift: null, error: null },
      {},
      {},
      {},
      { id: "instances", drift: { summary: /not in the pool/ } },
    ],
    backends: [{ name: "controller-0", state: "MISSING" }, {}, {}],
  });

  const deleted = context();
  t.equal(await lbDelete(await clusterConfig(), deleted, { output: "json", address: false }), 0);
  t.match(JSON.parse(deleted.out()), { steps: [{ id: "instances", outcome: "unchanged" }, { outcome: "changed" }] });
});

t.test("lb create reports every failure and fails with the first one", async (t) => {
  await control.setFaults(
    { kind: "error", status: 403, reason: "quotaExceeded", message: "firewalls", method: "POST", path: "firewalls$" },
    { kind: "error", status: 403, reason: "quotaExceeded", message: "checks", method: "POST", path: "HealthChecks$" },
  );
  const told = context();
  const failure = lbCreate(await clusterConfig(), told, { output: "json" });
  await t.rejects(failure, { code: "COMPUTE_FAILED", step: "health-check", message: /checks/ });
  t.match(told.err(), /^firewall: insert firewalls\/.*: 403 quotaExceeded: firewalls\nhint: /);
  t.match(JSON.parse(told.out()).steps.at(-1), { id: "forwarding-rule", outcome: "skipped" });
  await t.rejects(lbCreate(await clusterConfig({ "--load-balancer": "none" }), told, { output: "text" }), {
    code: "INVALID_ARGUMENT",
  });
  await t.rejects(lbCreate(await clusterConfig({ "--nodes": [] }), told, { output: "text" }), { message: /no nodes/ });
});

t.test("lb delete succeeds even if the instances no longer exist", async (t) => {
  await lbCreate(await clusterConfig(), context(), { output: "text" });
  await control.changeState({
    remove: config.instances.map(({ name }) => `projects/${project}/zones/${zone}/instances/${name}`),
  });
  t.equal(await lbDelete(await clusterConfig(), context(), { output: "text", address: true }), 0);
});

const skip = (await has("gcloud")) ? false : "gcloud is not installed here";
t.test("lb create produces the same resources as the lab's commands, field by field", { skip }, async (t) => {
  const lab = await readFile(fileURLToPath(new URL("../lab/lab-08.md", import.meta.url)), "utf8");
  const block =
    /```(?:sh)?\n(\{\n {2}KUBERNETES_PUBLIC_ADDRESS=[^`]*?forwarding-rules create[^`]*?\n\})\n```/.exec(lab)?.[1] ??
    "exit 64 # the lab has no such block";
  const script = spawn("bash", ["-euo", "pipefail", "-c", block], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      PATH: process.env["PATH"],
      CLOUDSDK_CONFIG: t.testdir({}),
      CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: endpoint,
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: "true",
      CLOUDSDK_CORE_PROJECT: project,
      CLOUDSDK_COMPUTE_REGION: region,
      CLOUDSDK_COMPUTE_ZONE: zone,
      CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
      CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: "true",
    },
  });
  let said = "";
  script.stderr.on("data", (chunk) => (said += String(chunk)));
  const [code] = await once(script, "close");
  t.equal(code, 0, said);
  const theirs = comparable(await resources());

  await using compute = open();
  t.strictSame(
    outcomes(await create(compute)),
    Array<string>(6).fill("unchanged"),
    "khw finds no drift in the resources that gcloud created",
  );
  await control.changeState({ reset: true });
  await create(compute);
  t.strictSame(comparable(await resources()), theirs);
});

t.teardown(async () => emulator[Symbol.asyncDispose]());

function context(): Context & { readonly out: () => string; readonly err: () => string } {
  const [out, err]: [string[], string[]] = [[], []];
  return {
    write: (text) => void out.push(text),
    warn: (text) => void err.push(text),
    terminal: false,
    env: {},
    signal,
    out: () => out.join(""),
    err: () => err.join(""),
  };
}

function clusterConfig(more: Readonly<Record<string, string | readonly string[]>> = {}): Promise<ClusterConfig> {
  const flags = { "--nodes": "controller-0,1,2", "--project": project, "--region": region, "--gce-auth": "none" };
  const given = Object.entries({ ...flags, "--compute-endpoint": endpoint, ...more });
  return loadConfig({ flags: new Map(given), folder: t.testdirName, env: { CLOUDSDK_CONFIG: t.testdirName } });
}

function open(options: Partial<RestOptions> = {}): Compute & AsyncDisposable {
  const retry = { tries: 8, firstMillis: 10, maxMillis: 100 };
  return restCompute({ endpoint, credentials: async () => ({}), retry, ...options });
}

function create(compute: Compute, wanted = config): Promise<StepResult[]> {
  return apply(loadBalancerSteps(wanted), compute);
}

function remove(compute: Compute, options = { address: false }): Promise<StepResult[]> {
  return apply(deleteLoadBalancerSteps(config, options), compute);
}

function apply(steps: readonly Step<Compute>[], compute: Compute): Promise<StepResult[]> {
  return applySteps(steps, compute, { signal, emit: () => {} });
}

function outcomes(results: readonly StepResult[]): string[] {
  return results.map(({ outcome }) => outcome);
}

function failures(results: readonly StepResult[]): string[] {
  return results.flatMap((result) =>
    result.outcome === "failed" ? [`${result.error.code} ${result.error.message}`] : [],
  );
}

async function resources(): Promise<State["resources"]> {
  return (await control.state()).resources;
}

/** Returns the logged requests that change resources. */
async function mutationLog() {
  return (await control.log()).filter(({ method, path }) => method !== "GET" && !/\/(wait|getHealth)$/.test(path));
}

/** Returns the resources without the fields that differ each time a resource is created. */
function comparable(all: State["resources"]): object {
  const transient = new Set(["id", "creationTimestamp", "fingerprint", "labelFingerprint"]);
  return Object.fromEntries(
    Object.entries(all)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, fields]) => [
        path,
        Object.fromEntries(Object.entries(fields).filter(([name]) => !transient.has(name))),
      ]),
  );
}

function link(path: string): string {
  return `https://www.googleapis.com/compute/v1/${path}`;
}

async function has(program: string): Promise<boolean> {
  const [code] = await once(spawn("sh", ["-c", 'command -v "$0"', program], { stdio: "ignore" }), "close");
  return code === 0;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
