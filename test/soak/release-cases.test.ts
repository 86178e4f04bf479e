/** Changes the release of three machines in unusual situations. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { exitOf, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { folderMirror, publishRelabelled } from "../fixtures/relabelled.ts";

const all = ["--nodes", "controller-0,1,2"];
const [running, next] = ["v1.21.0", "v1.21.1"];
const mirror = ["--mirror", folderMirror];

t.test("the release is changed in unusual situations", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation } = scene;
  const first = await workstation.khw(["bootstrap", "--nodes", "controller-0,1", "--kubernetes-version", running]);
  t.equal(first.code, 0, first.stderr);
  await publishRelabelled(testbed, next);
  const isGreen = (nodes = all) =>
    given("status reports a healthy cluster", async () =>
      (await workstation.khw(["status", ...nodes])).code === 0 ? true : undefined,
    );
  const releases = async (): Promise<string[]> => {
    const { stdout } = await workstation.khw(["status", ...all]);
    return [...stdout.matchAll(/kube-apiserver +active +(v\S+)/g)].map(([, version = ""]) => version);
  };

  await scenario(t, "a controller that joins during the change is not the canary", async (t) => {
    await isGreen(["--nodes", "controller-0,1"]);
    const { code, stdout, stderr } = await workstation.khw([
      "bootstrap",
      "--kubernetes-version",
      next,
      ...mirror,
      ...all,
    ]);
    t.equal(code, 0, stdout + stderr);
    t.match(stdout, /controller-0: its API server answers without errors/);
    t.notMatch(stdout, /controller-2: its API server answers without errors/);
    t.strictSame(await releases(), [next, next, next]);
  });

  await scenario(t, "a webhook without a backend does not prevent the way back", async (t) => {
    await isGreen();
    const service = { namespace: "default", name: "absent", path: "/" };
    const rules = [{ apiGroups: ["example.com"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["things"] }];
    const webhook = { name: "a.example.com", clientConfig: { service }, rules, sideEffects: "None" };
    const file = join(workstation.folder, "webhook.json");
    await writeFile(
      file,
      JSON.stringify({
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: "ValidatingWebhookConfiguration",
        metadata: { name: "absent" },
        webhooks: [{ ...webhook, failurePolicy: "Fail", admissionReviewVersions: ["v1"] }],
      }),
    );
    const created = await workstation.kubectl(["create", "-f", file]);
    t.equal(created.code, 0, created.stderr);
    const back = await workstation.khw(["upgrade", "--back", "--yes", ...all]);
    t.equal(back.code, 0, back.stdout + back.stderr);
    t.match(back.stdout, /warning: .*absent\/a\.example\.com has no working backend/);
    t.strictSame(await releases(), [running, running, running]);
    const removed = await workstation.kubectl(["delete", "validatingwebhookconfiguration", "absent"]);
    t.equal(removed.code, 0, removed.stderr);
  });

  await scenario(t, "the record of an upgrade is closed if its client was killed before a node changed", async (t) => {
    await isGreen();
    const upgrade = ["upgrade", "--to", next, "--yes", ...mirror, ...all];
    const client = scene.start(...upgrade);
    const status = await given("the upgrade has drained its first node", async () => {
      const { stdout } = await workstation.khw(["status", ...all]);
      return stdout.includes("for a rolling update") ? stdout : undefined;
    });
    t.ok(client.kill(), "the client was killed");
    await client.ended;
    t.match(status, `Upgrade from ${running} to ${next}`);
    // For a minute, bootstrap refuses, because another client may be at work.
    const again = await given("bootstrap is allowed", async () => {
      const result = await workstation.khw(["bootstrap", "--kubernetes-version", running, ...all]);
      return result.code === exitOf("RELEASE_REFUSED") ? undefined : result;
    });
    t.equal(again.code, 0, again.stdout + again.stderr);
    t.strictSame(await releases(), [running, running, running]);
    t.notMatch((await workstation.khw(["status", ...all])).stdout, /Upgrade from/);
    t.match((await workstation.khw(["events", ...all])).stdout, /abandoned: a later command applied v1\.21\.0/);
  });
});
