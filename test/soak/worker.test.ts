/**
 * Tests three controllers with the profile `production`, and a real worker that runs kubelet, kube-proxy, containerd
 * and pods. Requests to the kubelet API that lab 08's RBAC rules allow work through each API server, even during a
 * rolling update.
 */
import t from "tap";

import { checkAuditLog } from "../fixtures/audit-log.ts";
import { openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import {
  extensionUses,
  failuresOf,
  keepUsing,
  kubeletUses,
  podUses,
  restartKubelet,
  startExtensions,
  startWorkloads,
  untilReady,
} from "../fixtures/workload.ts";
import { joinWorkers } from "../testbed/worker/join.ts";

const all = ["--nodes", "controller-0,1,2"];
/** Every version label stands for the programs of 1.20.2. This release lacks the plugin that denies external IPs. */
const production = "profile: production\nhardening: {denyExternalIps: false}\n";

t.test("a worker joins a cluster with three controllers, and its pods and kubelet API work", async (t) => {
  await using scene = await openScene(3, production, { withEtcd: false, workers: 1 });
  const { testbed, workstation, bootstrap, node } = scene;
  const { nodes, workers } = testbed;
  const [worker] = workers;
  if (worker === undefined) throw new Error("the testbed has no worker");
  const { name } = worker;
  await workstation.mustKhw(["pki", "create", ...all]);
  const first = await bootstrap();
  t.equal(first.code, 0, first.stdout + first.stderr);
  const { kubectl } = workstation;
  const uses = [...kubeletUses(testbed, workstation), ...podUses(workstation), ...extensionUses(workstation)];

  await scenario(t, "the worker joins and is Ready", async (t) => {
    await joinWorkers(testbed, workstation);
    t.comment(`Ready ${(await untilReady(workstation, name)).toFixed(1)} s after the kubelet started`);
    const { stdout } = await kubectl(["get", "nodes", "-o", "wide", "--no-headers"]);
    t.comment(stdout.trim());
    t.match(stdout, new RegExp(`^${name} +Ready +.*v1\\.20\\.2 +${worker.address} .*containerd`));
  });

  await scenario(t, "a Deployment is scheduled and runs", async (t) => {
    t.comment(`all pods are Ready after ${(await startWorkloads(testbed, workstation)).toFixed(1)} s`);
    const { stdout } = await kubectl(["get", "pods", "-o", "wide", "--no-headers"]);
    t.comment(stdout);
    t.equal(stdout.match(new RegExp(`Running .* 10\\.200\\.0\\.\\d+ +${name} `, "g"))?.length, 3);
  });

  await scenario(t, "logs, exec, port-forward and stats work through each API server", async (t) => {
    for (const { name, address } of nodes)
      t.strictSame(await failuresOf(kubeletUses(testbed, workstation, address)), [], name);
    t.strictSame(
      await failuresOf(kubeletUses(testbed, workstation)),
      [],
      "the requests work through the load balancer",
    );
  });

  await scenario(t, "the audit log records that a Secret was read, but not the Secret's contents", (t) =>
    checkAuditLog(t, scene),
  );

  await scenario(t, "doctor --cis gives a reason for each failed check", async (t) => {
    const { code, stdout } = await workstation.khw(["doctor", "--cis", ...all]);
    t.equal(code, 0, stdout);
    t.comment(stdout);
  });

  await scenario(t, "without the RBAC binding, the kubelet refuses requests", async (t) => {
    const saved = await kubectl(["get", "clusterrolebinding", "system:kube-apiserver", "-o", "json"]);
    t.equal((await kubectl(["delete", "clusterrolebinding", "system:kube-apiserver"])).code, 0);
    // The kubelet caches its decisions. It remembers an allowed request for up to 5 minutes.
    await restartKubelet(worker);
    const refused = await kubectl(["exec", "client", "--", "hostname"]);
    t.match(refused.stderr, /forbidden|Forbidden/i, refused.stdout);
    t.comment(refused.stderr.trim());
    t.equal((await kubectl(["create", "-f", "-"], { input: withoutIds(saved.stdout) })).code, 0);
    await restartKubelet(worker);
    t.strictSame(await failuresOf(kubeletUses(testbed, workstation)), []);
  });

  await scenario(
    t,
    "a pod can reach a Service, and can call the API server with its service account's token",
    async (t) => {
      t.strictSame(await failuresOf(podUses(workstation)), []);
      const script =
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -q -O - http://$WEB_SERVICE_HOST/hostname; echo; done";
      const { stdout } = await kubectl(["exec", "client", "--", "sh", "-c", script]);
      t.equal(new Set(stdout.trim().split("\n")).size, 2, stdout);
      const secrets = await kubectl(["exec", "client", "--", "kubectl", "get", "secrets"]);
      t.match(secrets.stderr, /User "system:serviceaccount:default:default" cannot list resource "secrets"/);
    },
  );

  await scenario(t, "a controller reaches a pod through the route from lab 11", async (t) => {
    const pod = await kubectl(["get", "pod", "-l", "app=web", "-o", "jsonpath={.items[0].status.podIP}"]);
    const fetch = ["curl", "-sS", "--max-time", "3", `http://${pod.stdout}:8080/hostname`];
    for (const controller of nodes) t.match(await controller.run(fetch), { code: 0, stdout: /^web-/ });
    await testbed.setPodRoutes("delete");
    t.match(await node(0).run(fetch), { code: 28 }, "without the route, the request times out");
    await testbed.setPodRoutes("add");
    t.match(await node(0).run(fetch), { code: 0, stdout: /^web-/ });
  });

  await scenario(t, "a webhook and an aggregated API run as pods, and each API server reaches them", async (t) => {
    t.comment(`available after ${(await startExtensions(testbed, workstation)).toFixed(1)} s`);
    for (const { name, address } of nodes)
      t.strictSame(await failuresOf(extensionUses(workstation, address)), [], name);
    t.strictSame(await failuresOf(extensionUses(workstation)), [], "the requests work through the load balancer");
    const as = "--as=system:serviceaccount:default:default";
    const refused = await kubectl(["delete", "flunders.wardle.example.com", "--all", as]);
    t.match(refused.stderr, /User "system:serviceaccount:default:default" cannot (list|delete\w*) resource "flunders"/);
    const allowed = await kubectl(["create", "configmap", "allowed"]);
    t.equal(allowed.code, 0, allowed.stderr);
  });

  await scenario(t, "during a rolling update, all requests succeed, and no pod restarts", async (t) => {
    const pods = ["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}"];
    const notReady = ["get", "events", "-A", "--field-selector", "reason=NodeNotReady", "-o", "jsonpath={..count}"];
    const [before, eventsBefore] = [await kubectl(pods), await kubectl(notReady)];
    const usage = keepUsing(uses);
    const updated = await workstation.khw(["upgrade", "--to", "v1.21.0", "--yes", ...all]);
    const { sent, failures } = await usage.stop();
    t.equal(updated.code, 0, updated.stdout + updated.stderr);
    t.comment(`${failures.length} of ${sent} requests failed`);
    for (const failure of failures) t.comment(failure);
    t.strictSame(failures, []);
    t.ok(sent > 50, `more than 50 requests were sent: ${sent}`);
    t.equal((await kubectl(pods)).stdout, before.stdout, "no container was restarted");
    t.equal((await kubectl(notReady)).stdout, eventsBefore.stdout, "the worker was always Ready");
    for (const { name, address } of nodes)
      t.strictSame(await failuresOf(kubeletUses(testbed, workstation, address)), [], name);
  });

  await scenario(t, "after a power failure of the worker, its pods run again", async (t) => {
    await worker.powerOff();
    await worker.powerOn();
    const start = performance.now();
    await given("every request succeeds", async () => (await failuresOf(uses)).length === 0 || undefined);
    t.comment(`every request works ${((performance.now() - start) / 1000).toFixed(1)} s after the boot`);
    const restarts = ["get", "pod", "client", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"];
    t.equal((await kubectl(restarts)).stdout, "1");
  });
});

/** Returns the object without the fields that an API server sets. */
function withoutIds(text: string): string {
  const { metadata, ...object }: { metadata: { name: string; labels?: unknown } } = JSON.parse(text);
  return JSON.stringify({ ...object, metadata: { name: metadata.name, labels: metadata.labels } });
}
