import t from "tap";
import { applySteps, planSteps, type StepResult } from "../../../../proto/step.ts";
import type { Body, Compute } from "../../../../client/gce/compute.ts";
import { labLoadBalancer, type LoadBalancerConfig } from "../../../../client/gce/config.ts";
import { deleteLoadBalancerSteps } from "../../../../client/gce/delete-load-balancer.ts";
import { poolHealth } from "../../../../client/gce/health.ts";
import { locateInstances, resolveInstances } from "../../../../client/gce/instances.ts";
import { loadBalancerSteps } from "../../../../client/gce/load-balancer.ts";
import { membersNamed } from "../../../../client/gce/pool-members.ts";
import type { Reference } from "../../../../client/gce/references.ts";
import { computeError, Refusal } from "../../../../client/gce/refusal.ts";
import { type Instance, type Kind, readers, type Resources } from "../../../../client/gce/resources.ts";

const zone = "us-west1-c";
const config: LoadBalancerConfig = {
  ...labLoadBalancer,
  project: "lab",
  region: "us-west1",
  instances: [
    { name: "controller-0", zone },
    { name: "controller-1", zone },
  ],
};
const poolPath = "projects/lab/regions/us-west1/targetPools/kubernetes-target-pool";
const rulePath = "projects/lab/regions/us-west1/forwardingRules/kubernetes-forwarding-rule";
const addressPath = "projects/lab/regions/us-west1/addresses/kubernetes-the-hard-way";
const host = "https://www.googleapis.com/compute/v1/";
const { signal } = new AbortController();

/** Keeps resources in memory, keyed by path, and records every mutation. Adds Google's host to the target of a rule. */
class FakeCompute implements Compute {
  readonly resources = new Map<string, object>([[addressPath, { address: "203.0.113.9" }]]);
  readonly mutations: string[] = [];
  readonly instances: Instance[] = [];
  /** Runs once, before the next insert. */
  beforeInsert: (() => void) | undefined;
  healthState = "HEALTHY";

  async get<K extends Kind>({ kind, path }: Reference<K>): Promise<Resources[K] | undefined> {
    const found = this.resources.get(path);
    return found === undefined ? undefined : readers[kind]({ ...found });
  }

  async insert<K extends Kind>({ kind, name, path }: Reference<K>, body: Body<K>): Promise<void> {
    this.beforeInsert?.();
    this.beforeInsert = undefined;
    if (this.resources.has(path))
      throw computeError(`insert ${name}`, path, new Refusal(409, "exists", { reason: "alreadyExists" }));
    this.mutations.push(`insert ${kind}/${name}`);
    this.resources.set(path, { ...body, ...("target" in body && { target: `${host}${String(body.target)}` }) });
  }

  async patch<K extends Kind>({ kind, name, path }: Reference<K>, body: Body<K>): Promise<void> {
    this.mutations.push(`patch ${kind}/${name} ${Object.keys(body).join(",")}`);
    this.resources.set(path, { ...this.resources.get(path), ...body });
  }

  async delete({ kind, name, path }: Reference): Promise<void> {
    this.mutations.push(`delete ${kind}/${name}`);
    this.resources.delete(path);
  }

  changePool: Compute["changePool"] = async (pool, change) => {
    const held = await this.get(pool);
    if (held === undefined) throw new Error("there is no pool");
    if ("instances" in change) {
      if (change.verb === "removeInstance") throw new Error("the load balancer's steps must not remove an instance");
      this.mutations.push(`add ${change.instances.map((path) => path.split("/").at(-1)).join(",")}`);
      this.resources.set(pool.path, { ...held, instances: [...held.instances, ...change.instances] });
      return;
    }
    this.mutations.push(`${change.verb} ${change.healthCheck.split("/").at(-1)}`);
    const others = held.healthChecks.filter((check) => check !== change.healthCheck);
    const healthChecks = change.verb === "addHealthCheck" ? [...others, change.healthCheck] : others;
    this.resources.set(pool.path, { ...held, healthChecks });
  };

  async health() {
    return this.resources.has(rulePath) ? [{ healthState: this.healthState, ipAddress: "203.0.113.9" }] : [];
  }

  async setMetadata(): Promise<void> {
    throw new Error("this test must not set metadata");
  }

  async instancesNamed(_project: string, name: string): Promise<Instance[]> {
    return this.instances.filter((instance) => instance.name === name);
  }
}

async function create(compute: Compute, wanted = config): Promise<StepResult[]> {
  return applySteps(loadBalancerSteps(wanted), compute, { signal, emit: () => {} });
}

function outcomes(results: readonly StepResult[]): string[] {
  return results.map(({ outcome }) => outcome);
}

function messages(results: readonly StepResult[]): string[] {
  return results.flatMap((result) =>
    result.outcome === "failed" ? [`${result.error.code} ${result.error.message}`] : [],
  );
}

function merge(compute: FakeCompute, path: string, fields: object): void {
  compute.resources.set(path, { ...compute.resources.get(path), ...fields });
}

t.test("a plan lists the missing resources and changes nothing", async (t) => {
  const compute = new FakeCompute();
  const plan = await planSteps(loadBalancerSteps(config), compute, signal);
  t.strictSame(
    plan.map(({ step, drift }) => `${step.id}: ${drift?.summary ?? "ok"}`),
    [
      "address: ok",
      "health-check: does not exist",
      "firewall: does not exist",
      "target-pool: does not exist",
      "instances: controller-0, controller-1 not in the pool",
      "forwarding-rule: does not exist",
    ],
  );
  t.strictSame(compute.mutations, []);
});

t.test("a second run of the load balancer steps changes nothing", async (t) => {
  const compute = new FakeCompute();
  t.strictSame(outcomes(await create(compute)), ["unchanged", ...Array<string>(5).fill("changed")]);
  compute.mutations.length = 0;
  t.strictSame(outcomes(await create(compute)), Array<string>(6).fill("unchanged"));
  t.strictSame(compute.mutations, []);
});

t.test("each step waits only for the steps that create the resources it uses", async (t) => {
  const needs = Object.fromEntries(loadBalancerSteps(config).map((step) => [step.id, step.needs]));
  t.strictSame(needs, {
    address: [],
    "health-check": [],
    firewall: [],
    "target-pool": ["health-check"],
    instances: ["target-pool"],
    "forwarding-rule": ["address", "target-pool"],
  });
});

t.test("a missing address prevents only the forwarding rule, and an address is reserved only on request", async (t) => {
  const compute = new FakeCompute();
  compute.resources.delete(addressPath);
  const results = await create(compute);
  t.strictSame(outcomes(results), ["failed", "changed", "changed", "changed", "changed", "skipped"]);
  t.match(messages(results), [/COMPUTE_FAILED there is no address kubernetes-the-hard-way in region us-west1/]);
  await create(compute, { ...config, createAddress: true });
  t.ok(compute.mutations.includes("insert addresses/kubernetes-the-hard-way"));
});

t.test(
  "a resource that appears between the check and the insert request is reused, and repaired if necessary",
  async (t) => {
    const compute = new FakeCompute();
    const path = "projects/lab/global/httpHealthChecks/kubernetes";
    compute.beforeInsert = () => compute.resources.set(path, { host: "elsewhere", requestPath: "/healthz", port: 80 });
    t.equal((await create(compute))[1]?.outcome, "changed");
    t.match(compute.resources.get(path), { host: "kubernetes.default.svc.cluster.local" });
  },
);

t.test("the wrong health check of a pool is removed before the right health check is added", async (t) => {
  const compute = new FakeCompute();
  await create(compute);
  merge(compute, poolPath, { healthChecks: ["projects/lab/global/httpHealthChecks/other"] });
  compute.mutations.length = 0;
  await create(compute);
  t.strictSame(compute.mutations, ["removeHealthCheck other", "addHealthCheck kubernetes"]);
});

t.test("settings that the lab does not specify are left unchanged", async (t) => {
  const compute = new FakeCompute();
  await create(compute);
  merge(compute, "projects/lab/global/httpHealthChecks/kubernetes", { checkIntervalSec: 30, description: "ours" });
  merge(compute, "projects/lab/global/firewalls/kubernetes-the-hard-way-allow-health-check", { targetTags: ["k8s"] });
  t.strictSame(outcomes(await create(compute)), Array<string>(6).fill("unchanged"));
});

t.test(
  "a setting that differs but cannot be changed in place is reported with both values, even in a plan",
  async (t) => {
    const compute = new FakeCompute();
    await create(compute);
    merge(compute, rulePath, { IPAddress: "203.0.113.77", portRange: "443-443", target: "" });
    const expected =
      "forwardingRules/kubernetes-forwarding-rule: IPAddress is 203.0.113.77, not 203.0.113.9; " +
      `portRange is 443-443, not 6443-6443; target is empty, not ${poolPath}`;
    const plan = await planSteps(loadBalancerSteps(config), compute, signal);
    t.match(plan.at(-1)?.error, { code: "COMPUTE_DRIFT", message: expected, step: "forwarding-rule" });
    compute.mutations.length = 0;
    t.strictSame(messages(await create(compute)), [`COMPUTE_DRIFT ${expected}`]);
    t.strictSame(compute.mutations, []);
  },
);

t.test("foreign instances in the pool are reported, and the missing controllers are still added", async (t) => {
  const compute = new FakeCompute();
  await create(compute);
  const other = "projects/lab/zones/us-west1-a/instances/worker-0";
  merge(compute, poolPath, { instances: [`${host}${other}`] });
  const results = await create(compute);
  t.match(messages(results), [
    `COMPUTE_DRIFT targetPools/kubernetes-target-pool has ${other}, which is not a controller`,
  ]);
  t.match(results[4], { error: { hint: /--instances-zone us-west1-a --instances worker-0$/ } });
  t.match(compute.resources.get(poolPath), { instances: { length: 3 } });
});

t.test(
  "resources that use other resources are deleted first, and the address is kept unless its deletion is requested",
  async (t) => {
    const compute = new FakeCompute();
    await create(compute);
    compute.mutations.length = 0;
    await applySteps(deleteLoadBalancerSteps(config, { address: false }), compute, { signal, emit: () => {} });
    t.strictSame(
      compute.mutations.filter((mutation) => !mutation.includes("firewalls")),
      [
        "delete forwardingRules/kubernetes-forwarding-rule",
        "delete targetPools/kubernetes-target-pool",
        "delete httpHealthChecks/kubernetes",
      ],
    );
    t.strictSame([...compute.resources.keys()], [addressPath]);
    await applySteps(deleteLoadBalancerSteps(config, { address: true }), compute, { signal, emit: () => {} });
    t.equal(compute.resources.size, 0);
  },
);

t.test(
  "nothing is deleted while the pool has foreign instances, and no rule with a different target is deleted",
  async (t) => {
    const compute = new FakeCompute();
    await create(compute);
    const held = { ...compute.resources.get(poolPath) };
    merge(compute, poolPath, { instances: ["projects/lab/zones/us-west1-c/instances/worker-0"] });
    compute.mutations.length = 0;
    const steps = deleteLoadBalancerSteps(config, { address: true });
    const shared = await applySteps(steps, compute, { signal, emit: () => {} });
    t.strictSame(outcomes(shared), ["failed", ...Array<string>(5).fill("skipped")]);
    t.strictSame(compute.mutations, []);

    compute.resources.set(poolPath, held);
    merge(compute, rulePath, { target: `${host}projects/lab/regions/us-west1/targetPools/theirs` });
    const elsewhere = await applySteps(steps, compute, { signal, emit: () => {} });
    t.match(messages(elsewhere), [
      /COMPUTE_DRIFT forwardingRules\/.* points to .*theirs, not .*kubernetes-target-pool/,
    ]);
    t.strictSame(compute.mutations, ["delete firewalls/kubernetes-the-hard-way-allow-health-check"]);
  },
);

t.test(
  "an instance's health is UNKNOWN if no forwarding rule uses the pool, and MISSING if the instance is not in the pool",
  async (t) => {
    const compute = new FakeCompute();
    const states = async () => (await poolHealth(compute, config, signal)).map(({ state }) => state);
    t.strictSame(await states(), ["MISSING", "MISSING"]);
    await create(compute);
    t.strictSame(await states(), ["HEALTHY", "HEALTHY"]);
    compute.healthState = "UNHEALTHY";
    t.match(await poolHealth(compute, config, signal), [
      { name: "controller-0", state: "UNHEALTHY", address: "203.0.113.9" },
    ]);
    compute.resources.delete(rulePath);
    t.strictSame(await states(), ["UNKNOWN", "UNKNOWN"]);
  },
);

t.test("instances are found by name in the region, and all problems are reported at once", async (t) => {
  const compute = new FakeCompute();
  const add = (name: string, inZone: string, status = "RUNNING") =>
    compute.instances.push({
      name,
      id: "1",
      zone: `${host}projects/lab/zones/${inZone}`,
      status,
      metadata: { fingerprint: "", items: [] },
      networkInterfaces: [
        { network: "", networkIP: "10.240.0.10", accessConfigs: [{ natIP: "" }, { natIP: "198.51.100.7" }] },
      ],
    });
  add("controller-0", "us-west1-b");
  add("controller-0", "europe-west1-b");
  add("controller-1", "us-west1-a");
  add("controller-1", "us-west1-b");
  add("controller-2", "us-west1-a", "TERMINATED");
  const options = { place: config, signal };
  const addresses = { internalIp: "10.240.0.10", externalIp: "198.51.100.7" };
  t.strictSame(await resolveInstances(compute, ["controller-0", "controller-2"], options), [
    { name: "controller-0", zone: "us-west1-b", ...addresses, status: "RUNNING" },
    { name: "controller-2", zone: "us-west1-a", ...addresses, status: "TERMINATED" },
  ]);
  await t.rejects(resolveInstances(compute, ["controller-0", "controller-1", "controller-3"], options), {
    code: "COMPUTE_FAILED",
    message:
      "in project lab, region us-west1: controller-1 is in several zones: us-west1-a, us-west1-b; " +
      "there is no instance controller-3",
  });
  const known = { place: { ...config, zone }, signal };
  t.strictSame(await locateInstances(compute, ["gone"], known), [{ name: "gone", zone }]);
  t.strictSame(await locateInstances(compute, ["controller-0"], options), [
    { name: "controller-0", zone: "us-west1-b" },
  ]);
});

t.test("members of the pool are found by name, even if their machines no longer exist", async (t) => {
  const compute = new FakeCompute();
  await create(compute);
  const options = { names: ["controller-1", "controller-9"], signal };
  t.strictSame(await membersNamed(compute, config, options), [{ name: "controller-1", zone }]);
});
