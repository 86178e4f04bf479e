/**
 * Errors of the Compute Engine API. The node's work is still done, no resource is orphaned, and a second run
 * completes the rest.
 */
import t from "tap";

import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

const inProject = "projects/khw-testbed";
const inRegion = `${inProject}/regions/us-west1`;
const pool = `${inRegion}/targetPools/kubernetes-target-pool`;
const healthCheck = `${inProject}/global/httpHealthChecks/kubernetes`;

t.test("a Compute Engine API that fails", async (t) => {
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

  await scenario(t, "a quota that is used up is told as it is, and the node is done all the same", async (t) => {
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
  });

  await scenario(t, "a second run makes what is missing, and only that", async (t) => {
    await compute.setFaults();
    const mutations = await compute.mutations();
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.match(stdout, nodeLine("controller-0", "nothing to do"));
    t.equal((await compute.mutations()) - mutations, 1);
    t.strictSame(await resources(), wanted);
  });

  await scenario(t, "429 and 503 are tried again until they pass", async (t) => {
    await deleteLoadBalancer();
    await compute.setFaults(
      { kind: "error", method: "POST", path: "/firewalls$", status: 429, reason: "rateLimitExceeded", times: 2 },
      { kind: "error", method: "POST", path: "/targetPools$", status: 503, reason: "backendError", times: 2 },
      { kind: "error", method: "GET", path: "/addresses/", status: 403, reason: "rateLimitExceeded", times: 1 },
    );
    const { code, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.strictSame(await compute.faults(), [], "all of them struck");
    t.strictSame(await resources(), wanted);
  });

  await scenario(t, "an operation that ends in an error is told with its code and message", async (t) => {
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

  await scenario(t, "an answer that is cut off is asked for again by its request's own id", async (t) => {
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

  await scenario(t, "409 for what another client makes at that moment ends well", async (t) => {
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
  });

  await scenario(t, "a pool that holds others is reported with the remedy, and left as it is", async (t) => {
    const stranger = `${inProject}/zones/us-west1-c/instances/stranger`;
    const link = (path: string): string => `https://www.googleapis.com/compute/v1/${path}`;
    const instances = [`${inProject}/zones/us-west1-c/instances/controller-0`, stranger].map(link);
    await compute.changeState({ put: { [pool]: { instances } } });
    failsWith(t, await bootstrap(), "PARTIAL", [
      /load balancer: instances: targetPools\/kubernetes-target-pool holds .*\/stranger, which is not one of the controllers/,
      /gcloud compute target-pools remove-instances kubernetes-target-pool .*--instances stranger/,
    ]);
    t.strictSame((await compute.state()).resources[pool]?.["instances"], instances, "nobody was thrown out");
    await compute.changeState({ put: { [pool]: { instances: instances.slice(0, 1) } } });
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.match(stdout, /^load balancer: nothing to do$/m);
  });
});
