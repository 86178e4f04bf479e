/** Changes the number of controllers from 1 to 3 to 5 to 3, while clients read and write through the load balancer. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { members, pool, underLoad } from "../fixtures/changing-members.ts";
import { memberStatus } from "../fixtures/etcd.ts";
import { scenario } from "../fixtures/faults.ts";
import { isOneCluster, openAlone } from "../fixtures/joining.ts";
import { makeSecrets, readSecrets } from "../fixtures/secrets-kept.ts";
import { gcloudEnvironment } from "../testbed/gcloud.ts";

/** The number of new connections per second. A two-processor machine with five controllers can handle this rate. */
const rate = 2;
const numbers = Array.from({ length: 10 }, (_, number) => number);
const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `controller-${index}`);

/** The commands, and the number of controllers after each command. */
const changes = [
  { args: ["bootstrap", "--nodes", "controller-0,1,2"], count: 3 },
  { args: ["bootstrap", "--nodes", "controller-0,1,2,3,4"], count: 5 },
  { args: ["remove", "controller-4", "--nodes", "controller-0,1,2,3,4"], count: 4 },
  { args: ["remove", "controller-3", "--nodes", "controller-0,1,2,3"], count: 3 },
];

t.test("the number of controllers changes from 1 to 3 to 5 to 3 under load", async (t) => {
  await using scene = await openAlone(t, 5);
  const { testbed, workstation, node } = scene;
  await makeSecrets(workstation, numbers.length);
  const before = await memberStatus(node(0));
  const config = join(testbed.folder, "gcloud");
  await mkdir(config, { recursive: true });

  for (const { args, count } of changes) {
    await scenario(t, `${args.join(" ")}: no request fails`, async (t) => {
      await underLoad(t, { scene, rate }, () => workstation.khw(args, { timeoutMs: 800_000 }));
      const present = { workstation, testbed: { nodes: testbed.nodes.slice(0, count) } };
      await isOneCluster(t, present, before?.clusterId);
      t.strictSame(await members(scene), names(count));
      t.strictSame(await pool(scene), names(count));
      const described = await testbed.must(
        ["gcloud", "compute", "target-pools", "describe", "kubernetes-target-pool", "--format=value(instances)"],
        { env: gcloudEnvironment(testbed.computeUrl, config) },
      );
      t.strictSame(described.match(/controller-\d/g)?.toSorted(), names(count), "gcloud shows the same backends");
      t.strictSame(await readSecrets(workstation), numbers);
    });
  }
});
