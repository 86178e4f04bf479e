/**
 * Tests an upgrade to a release that cannot read the stored version of an object. The upgrade is refused at first, and
 * succeeds after the object is rewritten.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { openScene, scenario } from "../fixtures/faults.ts";
import { etcdctl } from "../fixtures/etcd.ts";

/** A CronJob as a release before 1.21 stores it with --storage-media-type=application/json. */
const cronJob = JSON.stringify({
  kind: "CronJob",
  apiVersion: "batch/v2alpha1",
  metadata: {
    name: "old",
    namespace: "default",
    uid: "6f1b7a5e-0000-4000-8000-000000000001",
    creationTimestamp: "2020-01-01T00:00:00Z",
  },
  spec: {
    schedule: "0 0 1 1 *",
    suspend: true,
    concurrencyPolicy: "Allow",
    jobTemplate: {
      spec: {
        template: { spec: { restartPolicy: "Never", containers: [{ name: "a", image: "example.com/a" }] } },
      },
    },
  },
});
const key = "/registry/cronjobs/default/old";

t.test("an upgrade that drops a stored API version is refused until the affected object is rewritten", async (t) => {
  await using scene = await openScene(1);
  const { workstation, bootstrap, node } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  const stored = async (): Promise<string> => (await etcdctl(node(0), ["get", key, "--print-value-only"])).stdout;
  const plan = () => workstation.khw(["plan", "--nodes", "controller-0", "--kubernetes-version", "v1.21.0"]);

  await scenario(t, "the upgrade is refused, and the error names the object", async (t) => {
    const put = await etcdctl(node(0), ["put", key, cronJob]);
    t.equal(put.code, 0, put.stderr);
    const processes = () => node(0).must(["systemctl", "show", "-P", "MainPID", "kube-apiserver", "etcd"]);
    const before = await processes();
    const planned = await plan();
    t.match(
      planned.stdout + planned.stderr,
      /batch\/v2alpha1 CronJob is the stored version of 1 object \(default\/old\)/,
    );
    const refused = await bootstrap("--kubernetes-version", "v1.21.0");
    t.equal(refused.code, 69, refused.stdout + refused.stderr);
    t.match(refused.stderr, /batch\/v2alpha1 CronJob is the stored version of 1 object \(default\/old\)/);
    t.match(refused.stderr, /kubectl get cronjobs\.batch --all-namespaces -o yaml/);
    t.equal(await processes(), before);
  });

  await scenario(
    t,
    "the printed remedy rewrites the object in a current version, and the upgrade succeeds",
    async (t) => {
      const list = await workstation.kubectl(["get", "cronjobs.batch", "--all-namespaces", "-o", "yaml"]);
      t.equal(list.code, 0, list.stderr);
      const file = join(workstation.folder, "cronjobs.yaml");
      await writeFile(file, list.stdout);
      const replaced = await workstation.kubectl(["replace", "-f", file]);
      t.equal(replaced.code, 0, replaced.stderr);
      t.match(await stored(), /batch\/v1beta1/);
      const planned = await plan();
      t.notMatch(planned.stdout + planned.stderr, /stored version/);
      const updated = await bootstrap("--kubernetes-version", "v1.21.0");
      t.equal(updated.code, 0, updated.stdout + updated.stderr);
    },
  );
});
