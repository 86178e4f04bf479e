/**
 * Tests errors from the Compute Engine API. The work on the nodes is still done, no resource is orphaned, and a second
 * run completes the remaining work.
 */
import t from "tap";

import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

const inProject = "projects/khw-testbed";
const inRegion = `${inProject}/regions/us-west1`;
const pool = `${inRegion}/targetPools/kubernetes-target-pool`;
const healthCheck = `${inProject}/global/httpHealthChecks/kubernetes`;

t.test("bootstrap handles failures of the Compute Engine API", async (t) => {
  await using scene = await openScene(1);
  const { testbed, workstation, bootstrap } = scene;
  const { compute } = testbed;
  const resources = async (): Promise<readonly string[]> => Object.keys((await compute.state()).resources).sort();
  const before = await resources();
  const wanted = [
    ...before,
    `${inProject}/global/firewalls/kubernetes-the-hard-way-allow-health-check`,
    healthCheck,
    `${inRegion}/forwardingRules/kubernetes-forwarding-rule`,
    pool,
  ].sort();
  const deleteLoadBalancer = async (): Promise<void> => {
    await workstation.mustKhw(["lb", "delete", "--nodes", "controller-0"]);
    await compute.clearLog();
  };

  await scenario(
    t,
    "bootstrap reports an exhausted quota with Google's message and still completes the node",
    async (t) => {
      await compute.setFaults({
        kind: "error",
        method: "POST",
        path: "/forwardingRules$",
        status: 403,
        reason: "quotaExceeded",
      });
      const result = await bootstrap();
      failsWith(t, result, "PARTIAL", [
        /load balancer: forwarding-rule: insert forwardingRules\/kubernetes-forwarding-rule: 403 quotaExceeded: Injected/,
        /quotas\?project=khw-testbed/,
      ]);
      t.match(result.stdout, nodeLine("controller-0", "done, \\d+ steps applied in \\d+ .*"));
      t.strictSame(
        await resources(),
        wanted.filter((path) => !path.includes("/forwardingRules/")),
      );
    },
  );

  await scenario(t, "a second run creates only the missing resources", async (t) => {
    await compute.setFaults();
    const mutations = await compute.mutations();
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.match(stdout, nodeLine("controller-0", "nothing to do"));
    t.equal((await compute.mutations()) - mutations, 1);
    t.strictSame(await resources(), wanted);
  });

  await scenario(t, "a request that fails with 429 or 503 is retried until it succeeds", async (t) => {
    await deleteLoadBalancer();
    await compute.setFaults(
      { kind: "error", method: "POST", path: "/firewalls$", status: 429, reason: "rateLimitExceeded", times: 2 },
      { kind: "error", method: "POST", path: "/targetPools$", status: 503, reason: "backendError", times: 2 },
      { kind: "error", method: "GET", path: "/addresses/", status: 403, reason: "rateLimitExceeded", times: 1 },
    );
    const { code, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.strictSame(await compute.faults(), [], "every fault occurred");
    t.strictSame(await resources(), wanted);
  });

  await scenario(t, "a failed Compute Engine operation is reported with its code and message", async (t) => {
    await deleteLoadBalancer();
    const error = { code: "RESOURCE_OPERATION_RATE_EXCEEDED", message: "Operation rate exceeded.", httpStatus: 403 };
    await compute.setFaults({ kind: "operation", path: "/addInstance$", ...error });
    failsWith(t, await bootstrap(), "PARTIAL", [
      /load balancer: instances: addInstance targetPools\/kubernetes-target-pool: 403 RESOURCE_OPERATION_RATE_EXCEEDED: Operation rate exceeded\./,
    ]);
    await compute.setFaults();
    const { code, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.strictSame(await resources(), wanted);
  });

  await scenario(t, "a request whose response is cut off is retried with the same request ID", async (t) => {
    await deleteLoadBalancer();
    await compute.setFaults({ kind: "cut", when: "after", method: "POST", path: "/firewalls$", times: 1 });
    const { code, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    const requests = (await compute.log()).filter(
      ({ method, path }) => method === "POST" && path.endsWith("/firewalls"),
    );
    t.match(requests, [{ status: "cut" }, { status: 200 }]);
    t.equal(new Set(requests.map(({ query }) => query["requestId"])).size, 1);
    t.strictSame(await resources(), wanted);
  });

  await scenario(
    t,
    "after a 409 response, bootstrap waits for the resource that another client is creating",
    async (t) => {
      const made = (await compute.state()).resources[healthCheck] ?? {};
      await deleteLoadBalancer();
      await compute.setFaults({
        kind: "error",
        method: "POST",
        path: "/httpHealthChecks$",
        status: 409,
        reason: "alreadyExists",
        times: 1,
      });
      const running = bootstrap();
      while ((await compute.faults()).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      await compute.changeState({ put: { [healthCheck]: made } });
      const { code, stderr } = await running;
      t.equal(code, 0, stderr);
      t.strictSame(await resources(), wanted);
    },
  );

  await scenario(
    t,
    "bootstrap reports a target pool with foreign instances, shows the remedy, and does not change the pool",
    async (t) => {
      const stranger = `${inProject}/zones/us-west1-c/instances/stranger`;
      const link = (path: string): string => `https://www.googleapis.com/compute/v1/${path}`;
      const instances = [`${inProject}/zones/us-west1-c/instances/controller-0`, stranger].map(link);
      await compute.changeState({ put: { [pool]: { instances } } });
      failsWith(t, await bootstrap(), "PARTIAL", [
        /load balancer: instances: targetPools\/kubernetes-target-pool has .*\/stranger, which is not a controller/,
        /gcloud compute target-pools remove-instances kubernetes-target-pool .*--instances stranger/,
      ]);
      t.strictSame((await compute.state()).resources[pool]?.["instances"], instances, "no instance was removed");
      await compute.changeState({ put: { [pool]: { instances: instances.slice(0, 1) } } });
      const { code, stdout, stderr } = await bootstrap();
      t.equal(code, 0, stderr);
      t.match(stdout, /^load balancer: nothing to do$/m);
    },
  );
});
